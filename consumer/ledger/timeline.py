"""The timeline of a job: one row for every event. ``telecine explain`` prints it."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.database import db_now
from consumer.ledger.prepared import Prepared, given
from consumer.ledger.tables import timeline

_GIVEN = ("job_id", "event", "epoch", "detail")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry that is not written yet."""

    event: str
    epoch: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


def note(connection: Connection, job_id: str, event: str, *, epoch: int | None = None, **detail: Any) -> None:
    """Add one entry in the caller's transaction, so that it exists exactly if the change that it describes does."""
    note_all(connection, job_id, [Entry(event, epoch, detail)])


def note_all(connection: Connection, job_id: str, entries: Sequence[Entry]) -> None:
    """Add entries of one job, in the caller's transaction."""
    rows = [(job_id, entry.event, entry.epoch, _json(entry.detail)) for entry in entries]
    values = {f"{name}_{n}": value for n, row in enumerate(rows) for name, value in zip(_GIVEN, row, strict=True)}
    _insertion(len(rows)).execute(connection, values)


@functools.cache
def _insertion(count: int) -> Prepared:
    # One statement for all: each costs a round trip.
    rows = [{"at": db_now(), **{name: given(f"{name}_{n}") for name in _GIVEN}} for n in range(count)]
    return Prepared(sa.insert(timeline).values(rows))


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
