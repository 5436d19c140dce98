"""Provider calls as the worker sees them: enqueued once, read when they have ended.

A call is inserted in the transaction that parks its job, before anything is sent. The engine (``consumer.calls``)
does the rest; this module opens no socket.
"""

from __future__ import annotations

import json
import uuid

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.call_records import CallRow, call_from
from consumer.ledger.call_request import CallSpec
from consumer.ledger.database import Database, db_now
from consumer.ledger.leases import transition
from consumer.ledger.records import Lease
from consumer.ledger.states import CallState, State
from consumer.ledger.tables import calls
from consumer.ledger.timeline import note

_NAMESPACE = uuid.UUID("3a0f7d64-6a55-5bb0-9a52-93c1f4a0e9d7")

#: ``not_before`` of a parked job, which the engine makes due when its call has ended.
_FAR_SECONDS = 366 * 86_400.0


def key_of(job_id: str, fingerprint: str, step: str, attempt: int) -> str:
    """Return the key of a call. It is a pure function, so a repeated insert has the same key."""
    return uuid.uuid5(_NAMESPACE, "\0".join((job_id, fingerprint, step, str(attempt)))).hex


def latest(database: Database, job_id: str, step: str) -> CallRow | None:
    """Return the newest call of the step."""
    with database.read() as connection:
        return _latest(connection, job_id, step)


def of_job(database: Database, job_id: str) -> list[CallRow]:
    """Return every call of the job, oldest first."""
    query = sa.select(calls).where(calls.c.job_id == job_id).order_by(calls.c.queued_at, calls.c.attempt)
    with database.read() as connection:
        return [call_from(row) for row in connection.execute(query).mappings()]


def enqueue_and_park(
    database: Database, lease: Lease, step: str, spec: CallSpec, attempt: int = 1, *, tenant: str | None, urgency: int
) -> None:
    """Insert the first call of a step in this run of the job and park the job, durably and in one transaction.

    A crash before the commit leaves nothing; after it, the engine carries on without the worker.

    Raises:
        LeaseLost: Another worker has the job.
    """
    with database.write(durable=True) as connection:
        _park(connection, lease)
        insert_call(database, connection, lease.job_id, step, attempt, spec, tenant=tenant or "", urgency=urgency)
        note(connection, lease.job_id, "parked", epoch=lease.epoch, step=step)


def park_unless_settled(database: Database, lease: Lease, step: str) -> CallRow | None:
    """Park the job again while its call is in progress. If the call has ended, return it and do not park.

    Raises:
        LeaseLost: Another worker has the job.
    """
    with database.write() as connection:
        # The job's row is locked first: a transaction that settles the call waits for this one.
        _park(connection, lease)
        row = _latest(connection, lease.job_id, step)
        assert row is not None
        if row.settled:
            connection.rollback()
            return row
    return None


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
        "due_at": db_now(),
        "queued_at": db_now(),
    }
    defaults = {"epoch": 0, "polls": 0, "failures": 0, "cancel_requested": False, "reserved": 0, "spent": 0}
    statement = database.insert(calls).values(**values, **defaults)
    connection.execute(statement.on_conflict_do_nothing(index_elements=["id"]))
    note(
        connection,
        job_id,
        "model_chosen",
        step=step,
        model=first.model,
        provider=first.provider,
        passed_over=[skipped.to_stored() for skipped in spec.skipped_models],
    )


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
    query = sa.select(calls).where(calls.c.job_id == job_id, calls.c.step == step).order_by(calls.c.attempt.desc())
    row = connection.execute(query.limit(1)).mappings().first()
    return None if row is None else call_from(row)


def _park(connection: Connection, lease: Lease) -> None:
    now = float(connection.execute(sa.select(db_now())).scalar_one())
    # No query for due jobs reads a parked job: the transaction that settles its call makes it due.
    transition(
        connection,
        lease,
        State.WAITING,
        lease_owner=None,
        lease_until=None,
        wakes=0,
        not_before=now + _FAR_SECONDS,
        wake_at=None,
    )
