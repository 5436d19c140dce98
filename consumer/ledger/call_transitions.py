"""The writes that every outcome of a call is made of: the fenced update of its row, and waking its job.

Lock order: a job's row is locked before the rows of its calls, in every transaction.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.call_claims import ClaimedCall
from consumer.ledger.database import db_now
from consumer.ledger.due import Wake
from consumer.ledger.states import OPEN, CallState, State
from consumer.ledger.tables import LINE, calls, jobs
from schemas.errors import LeaseLost

# Built once: building a statement costs more than sending it.
_PARKED = jobs.c.state == State.WAITING.value
_WAKE = (
    sa.update(jobs)
    # A job that is not parked is updated without a change, to lock it: it must not park before its call has ended.
    .where(jobs.c.id == sa.bindparam("woken"))
    .values(
        not_before=sa.case((_PARKED, db_now()), else_=jobs.c.not_before),
        # If this wake-up is lost, the sweep sends another a second later.
        wake_at=sa.case((_PARKED, db_now() + 1.0), else_=jobs.c.wake_at),
        wakes=sa.case((_PARKED, 0), else_=jobs.c.wakes),
        line=sa.case((_PARKED, LINE), else_=jobs.c.line),
    )
    .returning(jobs.c.state, jobs.c.role, jobs.c.priority)
)
_LOCK = sa.select(jobs.c.state).where(jobs.c.id == sa.bindparam("wanted")).with_for_update()


@dataclass(frozen=True, slots=True)
class TimeIn:
    """The database's time in ``seconds``, as the new value of a column."""

    seconds: float = 0.0
    #: Now instead if the call is to be cancelled.
    or_now_if_cancelled: bool = False


NOW = TimeIn()


def due_in(seconds: float) -> TimeIn:
    """Return the time in ``seconds``, or now if the call is to be cancelled."""
    return TimeIn(seconds, or_now_if_cancelled=True)


def transition_call(connection: Connection, claimed: ClaimedCall, *, state: CallState, **values: Any) -> None:
    """Write the call's new state and end the claim, unless ``values`` keep it.

    A submission that outlasted its lease counts as an unknown outcome. Its claim may still record the real outcome
    as long as the epoch is the same, that is, if no other engine or operator has acted since.

    Raises:
        LeaseLost: Another engine or an operator has acted for the call.
    """
    held = {"held_call": claimed.call.id, "held_epoch": claimed.epoch, "held_by": claimed.owner}
    changes = {"state": state.value, "lease_owner": None, "lease_until": None, **values}
    times = {name: changes.pop(name) for name, value in values.items() if isinstance(value, TimeIn)}
    waits = {f"{name}_in": time.seconds for name, time in times.items()}
    statement = _move(tuple((name, time.or_now_if_cancelled) for name, time in times.items()))
    if connection.execute(statement, {**held, **waits, **changes}).rowcount != 1:
        raise LeaseLost


@functools.cache
def _move(times: tuple[tuple[str, bool], ...]) -> sa.Update:
    """Return the fenced update of a call that sets these columns to times; built once, as that takes longest."""
    outlasted = sa.and_(calls.c.lease_owner.is_(None), calls.c.state == CallState.UNKNOWN.value)
    statement = (
        sa.update(calls)
        .where(calls.c.id == sa.bindparam("held_call"), calls.c.epoch == sa.bindparam("held_epoch"))
        .where(sa.or_(calls.c.lease_owner == sa.bindparam("held_by"), outlasted))
    )
    for name, or_now in times:
        statement = statement.values({name: due_or_now(f"{name}_in") if or_now else _time(f"{name}_in")})
    return statement


def due_or_now(seconds: str) -> sa.ColumnElement[float]:
    """Return the SQL for the time in that many seconds, a parameter, or for now if the call is to be cancelled."""
    return sa.case((calls.c.cancel_requested.is_(True), db_now()), else_=_time(seconds))


def _time(seconds: str) -> sa.ColumnElement[float]:
    return db_now() + sa.bindparam(seconds, type_=sa.Double)


def wake_job(connection: Connection, job_id: str) -> Wake | None:
    """Make the parked job due, and lock its row. Call it first in a transaction, because of the lock order."""
    row = connection.execute(_WAKE, {"woken": job_id}).first()
    return Wake(job_id, row.role, row.priority) if row is not None and row.state == State.WAITING.value else None


def lock_open_job(connection: Connection, job_id: str) -> bool:
    """Lock the job's row and return whether the job has not ended."""
    state = connection.execute(_LOCK, {"wanted": job_id}).scalar()
    return state is not None and State(state) in OPEN
