"""The timeline of a job: one row for every event. ``telecine explain`` prints it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.engine import Connection

from consumer.ledger.database import db_now
from consumer.ledger.tables import timeline

# Built once: building a statement costs more than sending it.
_NOTE = timeline.insert().values(at=db_now())


def note(connection: Connection, job_id: str, event: str, *, epoch: int | None = None, **detail: Any) -> None:
    """Add one entry in the caller's transaction, so that it exists exactly if the change that it describes does."""
    connection.execute(_NOTE, {"job_id": job_id, "event": event, "epoch": epoch, "detail": _json(detail)})


def note_many(connection: Connection, at: float, entries: Iterable[tuple[str, str, Mapping[str, Any]]]) -> None:
    """Add ``(job_id, event, detail)`` entries with the same time."""
    rows = [
        {"job_id": job, "at": at, "event": event, "epoch": None, "detail": _json(detail)}
        for job, event, detail in entries
    ]
    if rows:
        connection.execute(timeline.insert(), rows)


def _json(detail: Mapping[str, Any]) -> str | None:
    return json.dumps(detail, ensure_ascii=False, default=str) if detail else None
