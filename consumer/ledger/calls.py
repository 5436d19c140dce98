"""Provider calls as the worker sees them: enqueued once, read when they have ended.

A call is inserted in the transaction that parks its job, before anything is sent. The engine (``consumer.calls``)
does the rest; this module opens no socket.
"""

from __future__ import annotations

import contextlib
import functools
import json
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer import tracing
from consumer.ledger import steps
from consumer.ledger.call_records import CallRow, call_from
from consumer.ledger.call_request import CallSpec
from consumer.ledger.call_resolution import write_off
from consumer.ledger.database import Database, db_now, insertion
from consumer.ledger.leases import transition
from consumer.ledger.records import Lease
from consumer.ledger.states import SETTLED, CallState, State
from consumer.ledger.tables import calls, jobs
from consumer.ledger.timeline import note
from schemas.errors import StepSettled

_NAMESPACE = uuid.UUID("3a0f7d64-6a55-5bb0-9a52-93c1f4a0e9d7")

#: ``not_before`` of a parked job, which the engine makes due when its call has ended.
_FAR_SECONDS = 366 * 86_400.0
#: The shortest time after which a parked job looks at its call again.
_LEAST_SECONDS = 1.0

# Built once: building a statement costs more than sending it.
_NOW = sa.select(db_now())
_OF_JOB = sa.select(calls).where(calls.c.job_id == sa.bindparam("job")).order_by(calls.c.queued_at, calls.c.attempt)
_LATEST = (
    sa.select(calls)
    .where(calls.c.job_id == sa.bindparam("job"), calls.c.step == sa.bindparam("named"))
    .order_by(calls.c.attempt.desc())
    .limit(1)
)


def key_of(job_id: str, fingerprint: str, step: str, attempt: int) -> str:
    """Return the key of a call. It is a pure function, so a repeated insert has the same key."""
    return uuid.uuid5(_NAMESPACE, "\0".join((job_id, fingerprint, step, str(attempt)))).hex


def latest(database: Database, job_id: str, step: str) -> CallRow | None:
    """Return the newest call of the step."""
    with database.read() as connection:
        return _latest(connection, job_id, step)


def of_job(database: Database, job_id: str) -> list[CallRow]:
    """Return every call of the job, oldest first."""
    with database.read() as connection:
        return [call_from(row) for row in connection.execute(_OF_JOB, {"job": job_id}).mappings()]


def unsettled_of(database: Database, job_ids: Sequence[str]) -> dict[str, CallRow]:
    """Return the newest call that has not ended of each job that has one."""
    settled = [state.value for state in SETTLED]
    query = sa.select(calls).where(calls.c.job_id.in_(job_ids), calls.c.state.not_in(settled))
    with database.read() as connection:
        rows = connection.execute(query.order_by(calls.c.queued_at, calls.c.attempt)).mappings()
        return {row["job_id"]: call_from(row) for row in rows}


def enqueue_and_park(
    database: Database,
    lease: Lease,
    step: str,
    spec: CallSpec,
    attempt: int = 1,
    *,
    tenant: str | None,
    urgency: int,
    give_up_seconds: float | None = None,
) -> None:
    """Begin a step with its first call in this run of the job, and park the job, durably and in one transaction.

    With ``give_up_seconds``, the job is due again after that time, to look at its call: see ``park_unless_settled``.
    A crash before the commit leaves nothing; after it, the engine carries on without the worker.

    Raises:
        LeaseLost: Another worker has the job.
    """
    with database.write(durable=True) as connection:
        _park(connection, lease, give_up_seconds)
        steps.start(database, connection, lease, step)
        insert_call(database, connection, lease.job_id, step, attempt, spec, tenant=tenant or "", urgency=urgency)
        # The spans of the call continue the one of this attempt.
        note(connection, lease.job_id, "parked", epoch=lease.epoch, step=step, **tracing.carrier())


def park_unless_settled(
    database: Database, lease: Lease, step: str, give_up_seconds: float | None = None
) -> CallRow | None:
    """Park the job again while its call is in progress. If the call has ended, return it and do not park.

    With ``give_up_seconds``, a call whose outcome is unknown that long after its submission is written off. Until it
    has ended, the job looks at it again after that time.

    Raises:
        LeaseLost: Another worker has the job.
    """
    with database.write() as connection:
        # The job's row is locked first: a transaction that settles the call waits for this one.
        now = _park(connection, lease, give_up_seconds)
        row = _latest(connection, lease.job_id, step)
        assert row is not None
        if row.settled:
            connection.rollback()
            return row
        if give_up_seconds is None or row.state is not CallState.UNKNOWN:
            return None
        due = (row.queued_at if row.submitted_at is None else row.submitted_at) + give_up_seconds
        if due > now:
            connection.execute(sa.update(jobs).where(jobs.c.id == lease.job_id).values(not_before=due, wake_at=due))
            return None
        connection.rollback()
    return _written_off(database, lease, row)


def _written_off(database: Database, lease: Lease, call: CallRow) -> CallRow | None:
    """Write the call off and return it. If it was settled meanwhile, return its end, or park if it was resubmitted."""
    with contextlib.suppress(StepSettled):
        write_off(database, call, by="telecine")
    return park_unless_settled(database, lease, call.step)


def insert_call(
    database: Database,
    connection: Connection,
    job_id: str,
    step: str,
    attempt: int,
    spec: CallSpec,
    *,
    tenant: str,
    urgency: int,
) -> None:
    """Insert a call that is due now. Idempotent."""
    first = spec.candidates[0]
    values = {
        "id": key_of(job_id, spec.fingerprint, step, attempt),
        "job_id": job_id,
        "step": step,
        "attempt": attempt,
        "provider": first.provider,
        "model": first.model,
        "tenant": tenant,
        "urgency": urgency,
        "state": CallState.QUEUED.value,
        "request": json.dumps(spec.to_stored(), ensure_ascii=False),
    }
    connection.execute(_insertion(database.dialect), values)
    note(
        connection,
        job_id,
        "model_chosen",
        step=step,
        model=first.model,
        provider=first.provider,
        passed_over=[skipped.to_stored() for skipped in spec.skipped_models],
    )


@functools.cache
def _insertion(dialect: str) -> Any:
    defaults = {"epoch": 0, "polls": 0, "failures": 0, "cancel_requested": False, "reserved": 0, "spent": 0}
    statement = insertion(dialect, calls).values(due_at=db_now(), queued_at=db_now(), **defaults)
    return statement.on_conflict_do_nothing(index_elements=["id"])


def stop_calls(connection: Connection, job_id: str) -> None:
    """Cancel the calls of a job that has ended: queued ones at once, others through the engine."""
    of_this_job = calls.c.job_id == job_id
    connection.execute(
        sa.update(calls)
        .where(of_this_job, calls.c.state == CallState.QUEUED.value)
        .values(state=CallState.CANCELLED.value, due_at=None, finished_at=db_now())
    )
    running = [CallState.SUBMITTING.value, CallState.WORKING.value, CallState.FETCHING.value, CallState.UNKNOWN.value]
    connection.execute(
        sa.update(calls).where(of_this_job, calls.c.state.in_(running)).values(cancel_requested=True, due_at=db_now())
    )


def _latest(connection: Connection, job_id: str, step: str) -> CallRow | None:
    row = connection.execute(_LATEST, {"job": job_id, "named": step}).mappings().first()
    return None if row is None else call_from(row)


def _park(connection: Connection, lease: Lease, again_seconds: float | None = None) -> float:
    """Park the job until a transaction makes it due, or at most for ``again_seconds``; return the database's time."""
    now = float(connection.execute(_NOW).scalar_one())
    # Without a time no query for due jobs reads a parked job: the transaction that settles its call makes it due.
    again = None if again_seconds is None else now + max(again_seconds, _LEAST_SECONDS)
    transition(
        connection,
        lease,
        State.WAITING,
        lease_owner=None,
        lease_until=None,
        wakes=0,
        not_before=again or now + _FAR_SECONDS,
        wake_at=again,
    )
    return now
