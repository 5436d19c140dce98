"""Job types and providers that an operator has paused.

No attempt of a job of a paused type begins, and no call is sent to a paused provider. What has begun goes on: running
attempts end, and calls that a provider has accepted are polled and fetched.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from consumer.ledger.database import Database, db_now
from consumer.ledger.leases import unleased
from consumer.ledger.states import OPEN
from consumer.ledger.tables import jobs, pauses


class PauseKind(enum.StrEnum):
    """What is paused, as stored."""

    TYPE = "type"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Pause:
    """One job type or provider that is paused."""

    kind: PauseKind
    name: str
    #: Since when, in epoch seconds.
    at: float
    #: Who paused it.
    by: str


def pause(database: Database, kind: PauseKind, name: str, *, by: str) -> bool:
    """Pause a job type or a provider. Return ``False`` if it was paused already."""
    statement = (
        database.insert(pauses)
        .values(kind=kind.value, name=name, at=db_now(), by=by[:128])
        .on_conflict_do_nothing(index_elements=["kind", "name"])
        .returning(pauses.c.name)
    )
    with database.write(durable=True) as connection:
        begun = connection.execute(statement).first() is not None
        if begun and kind is PauseKind.TYPE:
            # Each claim would read them. The sweep puts them back after the pause.
            waiting = (*_open_jobs(name), jobs.c.line.is_not(None))
            connection.execute(sa.update(jobs).where(*waiting).values(line=None))
        return begun


def resume(database: Database, kind: PauseKind, name: str) -> bool:
    """End the pause; what was due meanwhile is due now. Return ``False`` if there was none."""
    statement = sa.delete(pauses).where(pauses.c.kind == kind.value, pauses.c.name == name).returning(pauses.c.name)
    with database.write(durable=True) as connection:
        ended = connection.execute(statement).first() is not None
        if ended and kind is PauseKind.TYPE:
            # Workers drop the wake-ups of a paused type, and the next one may be an hour away.
            asleep = (jobs.c.wake_at > db_now(), jobs.c.not_before <= db_now(), unleased())
            connection.execute(sa.update(jobs).where(*_open_jobs(name), *asleep).values(wakes=0, wake_at=db_now()))
        return ended


def _open_jobs(job_type: str) -> Sequence[sa.ColumnElement[bool]]:
    """Return the SQL conditions of the jobs of the type that have not ended."""
    return (jobs.c.type == job_type, jobs.c.state.in_([state.value for state in OPEN]))


def list_pauses(database: Database) -> list[Pause]:
    """Return every pause, job types first."""
    query = sa.select(pauses).order_by(pauses.c.kind.desc(), pauses.c.name)
    with database.read() as connection:
        return [Pause(PauseKind(row.kind), row.name, row.at, row.by) for row in connection.execute(query)]


def has_paused_type() -> sa.ColumnElement[bool]:
    """Return the SQL condition that the job's type is paused."""
    return jobs.c.type.in_(paused_names(PauseKind.TYPE))


def paused_names(kind: PauseKind) -> sa.Select[Any]:
    """Return the query for the names of this kind that are paused."""
    return sa.select(pauses.c.name).where(pauses.c.kind == kind.value)
