"""Job types for tests and benchmarks, registered as an extension: `note` stores a text, `noop` stores no files.

``TELECINE_EXTENSIONS=tests.note_pipeline`` adds them to any Telecine process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipelines.context import Context, Progress
from pipelines.registry import PIPELINES, Pipeline
from schemas.job_types import JOB_TYPES
from schemas.media import LocalFile, Plan, StoredArtifact
from schemas.reference import MediaReference


class Note(BaseModel):
    """``data`` of a ``note``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = ""
    #: A JPEG or PNG to fetch first.
    image: MediaReference | None = None
    #: How long the work takes.
    seconds: float = 0.0
    #: A file to which each run of the work appends a line.
    ledger_of_runs: str | None = None


def note(data: Note, ctx: Context) -> Sequence[StoredArtifact]:
    """Store ``note.txt``."""
    if data.image is not None:
        ctx.input("image", data.image, kinds=("jpeg", "png"), limit_bytes=1_000_000)

    def work(folder: Path, progress: Progress) -> Sequence[LocalFile]:
        end = time.monotonic() + data.seconds
        while (left := end - time.monotonic()) > 0:
            progress(1 - left / data.seconds)
            time.sleep(min(left, 0.02))
        if data.ledger_of_runs is not None:
            with Path(data.ledger_of_runs).open("a") as runs:
                runs.write(f"{os.getpid()}\n")
        path = folder / "note.txt"
        path.write_text(data.text)
        return [LocalFile(name="note.txt", content_type="text/plain", path=path)]

    return ctx.step("write", work)


def noop(data: Note, ctx: Context) -> Sequence[StoredArtifact]:
    """Return no files."""
    return []


def plan(data: Note, ctx: Context) -> Plan:
    """Estimate the time of a note."""
    return Plan(estimated_seconds=data.seconds)


JOB_TYPES.update({"note": Note, "noop": Note})
PIPELINES["note"] = Pipeline(run=note, plan=plan, role="render")
PIPELINES["noop"] = Pipeline(run=noop, plan=plan, role="io", short=True)
