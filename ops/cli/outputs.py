"""The files that a job made, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from ops.cli.console import remark, table
from ops.wording import duration, size
from schemas.settings import Settings


def outputs_table(outputs: Sequence[Mapping[str, Any]]) -> Table:
    """Name, size, what is in it, and where it lies."""
    made = table("FILE", "SIZE", "MEDIA", "WHERE", right=("SIZE",), whole=("FILE", "SIZE", "MEDIA"))
    for output in outputs:
        made.add_row(str(output["name"]), size(int(output["bytes"])), media_text(output), str(output["uri"]))
    return made


def say_where(settings: Settings) -> None:
    """Where ``s3://`` leads, when that is a folder of this machine."""
    if settings.storage_kind == "folder":
        remark(f"s3:// is the folder {settings.storage_folder}")


def media_text(output: Mapping[str, Any]) -> str:
    """``1080×1920, 30 fps, 3 min 2 s``; the content type for what is no picture or sound."""
    parts = []
    if output.get("width") and output.get("height"):
        parts.append(f"{output['width']}×{output['height']}")
    if output.get("fps"):
        parts.append(f"{output['fps']:g} fps")
    if output.get("duration_seconds") is not None:
        parts.append(duration(float(output["duration_seconds"])))
    return ", ".join(parts) or str(output.get("content_type", ""))
