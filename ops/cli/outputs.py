"""The results or the plan of a job, as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from consumer.ledger.records import Job
from ops.cli.console import remark, show, table
from ops.formatting import duration, size
from ops.views import iso
from schemas.money import cost_text
from schemas.settings import Settings


def outputs_table(outputs: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table with the name, size, media properties and URI of each output."""
    made = table("FILE", "SIZE", "MEDIA", "WHERE", right=("SIZE",), whole=("FILE", "SIZE", "MEDIA"), drop=("MEDIA",))
    for output in outputs:
        made.add_row(str(output["name"]), size(int(output["bytes"])), media_text(output), str(output["uri"]))
    return made


def plan_table(plan: Mapping[str, Any]) -> Table:
    """Return a plan as a table: size, frames, length, run time, cost."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    if plan.get("width") and plan.get("height"):
        grid.add_row("size", f"{plan['width']}×{plan['height']}")
    if plan.get("frames") is not None:
        grid.add_row("frames", f"{plan['frames']:,}" + (f" at {plan['fps']:g} fps" if plan.get("fps") else ""))
    if plan.get("duration_seconds") is not None:
        grid.add_row("length", duration(plan["duration_seconds"]))
    grid.add_row("run time", f"about {duration(plan['estimated_seconds'])}")
    grid.add_row("cost", cost_text(plan.get("cost", {})))
    for name, value in plan.get("details", {}).items():
        grid.add_row(name.replace("_", " "), Text(_detail_text(value)))
    return grid


def _detail_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(
            f"{name}: {item if isinstance(item, str) else json.dumps(item)}" for name, item in value.items()
        )
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def outcome_tables(job: Job) -> list[Table]:
    """Return the job's outputs or its plan, if it has one."""
    outcome = job.outcome or {}
    tables = []
    if outcome.get("outputs") and job.results_deleted_at is None:
        tables.append(outputs_table(outcome["outputs"]))
    if outcome.get("plan"):
        tables.append(plan_table(outcome["plan"]))
    return tables


def outcome_remark(job: Job, settings: Settings) -> str:
    """Return where the job's outputs are, or that they were deleted; an empty string if there is nothing to add."""
    if job.results_deleted_at is not None:
        return f"The results were deleted at {iso(job.results_deleted_at)} because of their age."
    return where(settings) if (job.outcome or {}).get("outputs") else ""


def show_outcome(job: Job, settings: Settings) -> None:
    """Print the job's outputs or its plan, if it has one."""
    for outcome in outcome_tables(job):
        show(outcome)
    if note := outcome_remark(job, settings):
        remark(note)


def where(settings: Settings) -> str:
    """Return which folder ``s3://`` refers to, if the object store is a folder on this machine."""
    return f"s3:// is the folder {settings.storage_folder}" if settings.storage_kind == "folder" else ""


def say_where(settings: Settings) -> None:
    """Print which folder ``s3://`` refers to, if the object store is a folder on this machine."""
    if note := where(settings):
        remark(note)


def media_text(output: Mapping[str, Any]) -> str:
    """Format media properties: ``1080×1920, 30 fps, 3 min 2 s``; the content type if there are none."""
    parts = []
    if output.get("width") and output.get("height"):
        parts.append(f"{output['width']}×{output['height']}")
    if output.get("fps"):
        parts.append(f"{output['fps']:g} fps")
    if output.get("duration_seconds") is not None:
        parts.append(duration(float(output["duration_seconds"])))
    return ", ".join(parts) or str(output.get("content_type", ""))
