"""The writes that every outcome of a call is made of: the fenced update of its row, and waking its job.

Lock order: a job's row is locked before the rows of its calls, in every transaction.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.call_claims import ClaimedCall
from consumer.ledger.database import db_now
from consumer.ledger.due import Wake
from consumer.ledger.states import OPEN, CallState, State
from consumer.ledger.tables import LINE, calls, jobs
from schemas.errors import LeaseLost


def transition_call(connection: Connection, claimed: ClaimedCall, *, state: CallState, **values: Any) -> None:
    """Write the call's new state and end the claim, unless ``values`` keep it.

    A submission that outlasted its lease counts as an unknown outcome. Its claim may still record the real outcome
    as long as the epoch is the same, that is, if no other engine or operator has acted since.

    Raises:
        LeaseLost: Another engine or an operator has acted for the call.
    """
    outlasted = sa.and_(calls.c.lease_owner.is_(None), calls.c.state == CallState.UNKNOWN.value)
    statement = (
        sa.update(calls)
        .where(calls.c.id == claimed.call.id, calls.c.epoch == claimed.epoch)
        .where(sa.or_(calls.c.lease_owner == claimed.owner, outlasted))
        .values(state=state.value, **{"lease_owner": None, "lease_until": None, **values})
    )
    if connection.execute(statement).rowcount != 1:
        raise LeaseLost


def due_in(seconds: Any) -> sa.ColumnElement[float]:
    """Return the SQL for the time in ``seconds``, or for now if the call is to be cancelled."""
    return sa.case((calls.c.cancel_requested.is_(True), db_now()), else_=db_now() + seconds)


def wake_job(connection: Connection, job_id: str) -> Wake | None:
    """Make the parked job due, and lock its row. Call it first in a transaction, because of the lock order."""
    parked = jobs.c.state == State.WAITING.value
    # If this wake-up is lost, the sweep sends another a second later.
    values = {"not_before": db_now(), "wake_at": db_now() + 1.0, "wakes": sa.literal(0), "line": LINE}
    row = connection.execute(
        sa.update(jobs)
        # A job that is not parked is updated without a change, to lock it: it must not park before its call has ended.
        .where(jobs.c.id == job_id)
        .values({name: sa.case((parked, value), else_=jobs.c[name]) for name, value in values.items()})
        .returning(jobs.c.state, jobs.c.role, jobs.c.priority)
    ).first()
    return Wake(job_id, row.role, row.priority) if row is not None and row.state == State.WAITING.value else None


def lock_open_job(connection: Connection, job_id: str) -> bool:
    """Lock the job's row and return whether the job has not ended."""
    state = connection.execute(sa.select(jobs.c.state).where(jobs.c.id == job_id).with_for_update()).scalar()
    return state is not None and State(state) in OPEN
