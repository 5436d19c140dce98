"""Recording what became of a claimed call. Every write is fenced by the claim and, where money is at stake, durable.

A call that ends, with a result or with no candidate left, wakes its job in the same transaction.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger import accounts
from consumer.ledger.call_claims import ClaimedCall
from consumer.ledger.call_records import CallResult, CallRow, CallTask, ProviderResult, lock_order
from consumer.ledger.call_request import Candidate, SkippedModel
from consumer.ledger.call_transitions import NOW, TimeIn, due_in, due_or_now, lock_open_job, transition_call, wake_job
from consumer.ledger.calls import insert_call
from consumer.ledger.database import Database, db_now
from consumer.ledger.due import Wake
from consumer.ledger.outbox import NewDelivery, enqueue
from consumer.ledger.records import Job
from consumer.ledger.states import CallState
from consumer.ledger.tables import calls, jobs
from consumer.ledger.timeline import note
from schemas.errors import TelecineError

#: First wait before an unknown outcome is looked up: a provider may not list a new task at once.
LOOK_UP_SECONDS = 10.0

# Built once: building a statement costs more than sending it.
_PENDING = (
    sa.update(calls)
    .where(calls.c.id == sa.bindparam("key"), calls.c.epoch == sa.bindparam("claim"))
    .values(due_at=due_or_now("wait"), polls=calls.c.polls + 1, failures=0, lease_owner=None, lease_until=None)
)


def record_accepted(
    database: Database, claimed: ClaimedCall, task: CallTask, *, wait_seconds: float, give_up: float
) -> None:
    """Record that the provider accepted the call as ``task``, to be polled first after ``wait_seconds``.

    Raises:
        LeaseLost: Another engine or an operator has acted for the call.
    """
    call = claimed.call
    with database.write(durable=True) as connection:
        transition_call(
            connection,
            claimed,
            state=CallState.WORKING,
            task=json.dumps(task.to_stored()),
            due_at=due_in(wait_seconds),
            failures=0,
            give_up_at=(call.give_up_at or claimed.now + give_up),
        )
        _note_answer(connection, call)
        _note(connection, call, "call_accepted", model=call.model, task=task.id, key=call.id)


def record_unknown(database: Database, claimed: ClaimedCall, why: TelecineError, *, look_up: bool) -> None:
    """Record that the provider may have accepted the call. Its price stays reserved and it is never resubmitted."""
    _set_unknown(database, claimed.call, claimed.epoch, claimed.owner, why.message, look_up=look_up)


def record_lost(database: Database, call: CallRow, *, look_up: bool) -> None:
    """Record an unknown outcome for a call whose engine died while sending it."""
    why = "the worker died while it was sending the call"
    _set_unknown(database, call, call.epoch, call.lease_owner, why, look_up=look_up)


def reschedule(database: Database, claimed: ClaimedCall, seconds: float, error: TelecineError | None = None) -> None:
    """Repeat the action after ``seconds``. A submission is queued again: call this only if nothing was accepted.

    An outage of this installation is not counted as a failure.
    """
    call = claimed.call
    failures = call.failures + (error is not None and not error.outage)
    with database.write() as connection:
        if call.state is CallState.SUBMITTING:
            _requeue(connection, claimed, seconds, failures)
        else:
            # If this claim was the one to cancel the task, the backoff applies to it too.
            due = TimeIn(seconds) if call.cancel_requested else due_in(seconds)
            transition_call(connection, claimed, state=call.state, due_at=due, failures=failures)
        if error is not None:
            wait = round(seconds, 3)
            _note(connection, call, "call_put_off", code=error.code, message=error.message, seconds=wait)


def record_pending(database: Database, pending: Sequence[tuple[ClaimedCall, float]]) -> None:
    """Schedule the next poll of many tasks, each after its seconds, in one transaction. Lost claims are ignored."""
    if not pending:
        return
    ordered = sorted(pending, key=lambda each: lock_order(each[0].call))
    rows = [{"key": claimed.call.id, "claim": claimed.epoch, "wait": seconds} for claimed, seconds in ordered]
    with database.write() as connection:
        connection.execute(_PENDING, rows)


def record_progress(database: Database, grown: Sequence[tuple[Job, int, NewDelivery | None]]) -> None:
    """Set the progress of parked jobs, in percent, each with its callback if one is due, in one transaction.

    A job that another transaction has locked, or that has changed since it was read, is left out.
    """
    if not grown:
        return
    parked = sa.select(jobs.c.id).where(jobs.c.id.in_([job.id for job, _, _ in grown])).order_by(jobs.c.id)
    with database.write() as connection:
        free = set(connection.execute(parked.with_for_update(skip_locked=True)).scalars())
        for job, percentage, delivery in grown:
            as_read = (jobs.c.epoch == job.epoch, jobs.c.state == job.state.value, jobs.c.progress == job.progress)
            statement = sa.update(jobs).where(jobs.c.id == job.id, *as_read).values(progress=percentage)
            if job.id in free and connection.execute(statement).rowcount and delivery is not None:
                enqueue(database, connection, delivery)


def record_ready(
    database: Database, claimed: ClaimedCall, result: ProviderResult, *, lease_seconds: float
) -> ClaimedCall:
    """Record the provider's result before it is fetched, so that a crash does not lose it; keep the claim."""
    with database.write(durable=True) as connection:
        transition_call(
            connection,
            claimed,
            state=CallState.FETCHING,
            result=json.dumps(result.to_stored()),
            failures=0,
            due_at=NOW,
            lease_owner=claimed.owner,
            lease_until=TimeIn(lease_seconds),
        )
        _note_answer(connection, claimed.call)
        _note(connection, claimed.call, "call_ready")
    call = dataclasses.replace(claimed.call, state=CallState.FETCHING, provider_result=result, failures=0)
    return dataclasses.replace(claimed, call=call)


def record_done(database: Database, claimed: ClaimedCall, result: CallResult, *, spent: int) -> Wake | None:
    """Settle the call with its stored result and wake its job."""
    return _end(database, claimed, CallState.DONE, spent=spent, result=json.dumps(result.to_stored()))


def record_cancelled(database: Database, claimed: ClaimedCall, *, spent: int) -> Wake | None:
    """Settle a call that its job no longer needs."""
    return _end(database, claimed, CallState.CANCELLED, spent=spent, result=None)


def record_failed(
    database: Database, claimed: ClaimedCall, error: TelecineError, *, spent: int, rest: Sequence[Candidate] = ()
) -> Wake | None:
    """Fail the call and insert one for the first candidate of ``rest``; with none left, wake the job instead."""
    call = claimed.call
    with database.write(durable=True) as connection:
        rest = rest if rest and lock_open_job(connection, call.job_id) else ()
        wake = None if rest else wake_job(connection, call.job_id)
        transition_call(
            connection,
            claimed,
            state=CallState.FAILED,
            due_at=None,
            spent=spent,
            reserved=0,
            finished_at=NOW,
            result=None,  # the URL in it is a secret and is not needed any more
            error=json.dumps(error.as_record()),
        )
        _note(connection, call, "call_failed", model=call.model, code=error.code, message=error.message)
        if rest:
            _insert_next(database, connection, call, rest, error)
    return wake


def record_adoption_failed(database: Database, claimed: ClaimedCall, error: TelecineError) -> None:
    """Return to the unknown outcome: the provider has no task of the id that an operator gave."""
    call = claimed.call
    with database.write(durable=True) as connection:
        transition_call(
            connection, claimed, state=CallState.UNKNOWN, due_at=None, task=None, give_up_at=None, failures=0
        )
        _note(connection, call, "outcome_unknown", model=call.model, key=call.id, message=error.message, look_up=False)


def abandon(database: Database, claimed: ClaimedCall) -> None:
    """Leave the outcome unknown: the job has ended, but the call may have been charged, which stays visible."""
    with database.write() as connection:
        transition_call(connection, claimed, state=CallState.UNKNOWN, due_at=None)


def record_not_found(database: Database, claimed: ClaimedCall) -> None:
    """Queue the call: the provider was asked and never received it."""
    with database.write(durable=True) as connection:
        _requeue(connection, claimed, 0.0, failures=0)
        _note(connection, claimed.call, "call_not_found")


def _end(database: Database, claimed: ClaimedCall, state: CallState, *, spent: int, result: str | None) -> Wake | None:
    call = claimed.call
    with database.write(durable=True) as connection:
        wake = wake_job(connection, call.job_id)
        transition_call(
            connection,
            claimed,
            state=state,
            due_at=None,
            finished_at=NOW,
            reserved=0,
            spent=spent,
            result=result,
        )
        _note(connection, call, "call_done" if state is CallState.DONE else "call_cancelled", model=call.model)
    return wake


def _requeue(connection: Connection, claimed: ClaimedCall, seconds: float, failures: int) -> None:
    """Queue a call that was not sent, or cancel it if its job has ended meanwhile."""
    values: dict[str, Any] = {"failures": failures, "reserved": 0, "submitted_at": None}
    if lock_open_job(connection, claimed.call.job_id):
        transition_call(connection, claimed, state=CallState.QUEUED, due_at=TimeIn(seconds), **values)
    else:
        transition_call(connection, claimed, state=CallState.CANCELLED, due_at=None, finished_at=NOW, **values)


def _insert_next(
    database: Database, connection: Connection, call: CallRow, rest: Sequence[Candidate], error: TelecineError
) -> None:
    skipped = SkippedModel(call.model, f"{error.code}: {error.message}"[:500])
    spec = dataclasses.replace(call.spec, candidates=rest, skipped_models=[*call.spec.skipped_models, skipped])
    insert_call(
        database,
        connection,
        call.job_id,
        call.step,
        call.attempt + 1,
        spec,
        tenant=call.tenant,
        urgency=call.urgency,
    )


def _set_unknown(database: Database, call: CallRow, epoch: int, owner: str | None, why: str, *, look_up: bool) -> None:
    statement = (
        sa.update(calls)
        .where(calls.c.id == call.id, calls.c.epoch == epoch, calls.c.lease_owner == owner)
        .where(calls.c.state == CallState.SUBMITTING.value)
        .values(
            state=CallState.UNKNOWN.value,
            lease_owner=None,
            lease_until=None,
            failures=0,
            due_at=db_now() + LOOK_UP_SECONDS if look_up else None,
        )
    )
    with database.write(durable=True) as connection:
        if connection.execute(statement).rowcount:
            _note(connection, call, "outcome_unknown", model=call.model, key=call.id, message=why, look_up=look_up)


def _note_answer(connection: Connection, call: CallRow) -> None:
    """Close the circuit breaker of the provider that has accepted the call, if this is a submission."""
    if call.state is CallState.SUBMITTING:
        accounts.record_answer(connection, call.provider)


def _note(connection: Connection, call: CallRow, event: str, **detail: Any) -> None:
    note(connection, call.job_id, event, step=call.step, provider=call.provider, **detail)
