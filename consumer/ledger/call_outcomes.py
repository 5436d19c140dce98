"""What became of a call's turn. Every write is fenced by the turn and, where money is at stake, durable.

An end of a call — a result, a failure with nobody left to ask — wakes its job in the same transaction.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.call_claims import ClaimedCall
from consumer.ledger.calls import CallRow, insert_call
from consumer.ledger.database import Database, db_now, is_ledger_fault
from consumer.ledger.due import Wake
from consumer.ledger.states import OPEN, CallState, State
from consumer.ledger.tables import calls, jobs
from consumer.ledger.timeline import note
from schemas.errors import InvalidField, LeaseLost, ProviderOutcomeUnknown, StepSettled, TelecineError

#: An unknown outcome is looked up so soon, and then ever more rarely; what was just sent may not be listed yet.
LOOK_UP_SECONDS = 10.0


def record_accepted(
    database: Database, turn: ClaimedCall, task: Mapping[str, Any], *, wait_seconds: float, give_up: float
) -> None:
    """The provider has the call. ``task`` is what is needed to ask for it; polled first after ``wait_seconds``.

    Raises:
        LeaseLost: somebody else acts for the call.
    """
    call = turn.call
    with database.write(durable=True) as connection:
        _write(
            connection, turn, state=CallState.WORKING, task=json.dumps(task), due_at=_in(wait_seconds), failures=0,
            give_up_at=(call.give_up_at or turn.now + give_up),
        )  # fmt: skip
        note(connection, call.job_id, "call_accepted", step=call.step, provider=call.provider, model=call.model,
             task=task["id"], key=call.id)  # fmt: skip


def record_unknown(database: Database, turn: ClaimedCall, why: TelecineError, *, look_up: bool) -> None:
    """Nobody knows whether the provider has the call. Its money stays set aside; it is never sent again unasked."""
    _set_unknown(database, turn.call, turn.epoch, turn.owner, why.message, look_up=look_up)


def record_lost(database: Database, call: CallRow, *, look_up: bool) -> None:
    """The same for a call whose worker died between the intent and the receipt."""
    why = "the worker died after it had begun to send the call"
    _set_unknown(database, call, call.epoch, call.lease_owner, why, look_up=look_up)


def reschedule(database: Database, turn: ClaimedCall, seconds: float, error: TelecineError | None = None) -> None:
    """The same again after ``seconds``: what was not sent is queued, what is under way stays so."""
    call = turn.call
    failures = call.failures + (error is not None)
    with database.write() as connection:
        if call.state is CallState.SUBMITTING:
            _queue(connection, turn, seconds, failures)
        else:
            due = db_now() + seconds if call.cancel_requested else _in(seconds)  # this turn was the one to stop it
            _write(connection, turn, state=call.state, due_at=due, failures=failures)
        if error is not None:
            note(connection, call.job_id, "call_put_off", step=call.step, provider=call.provider, code=error.code,
                 message=error.message, seconds=round(seconds, 3))  # fmt: skip


def record_pending(database: Database, turns: Sequence[tuple[ClaimedCall, float]]) -> None:
    """Many calls that go on, each asked again after its seconds; one transaction for all. Lost turns are ignored."""
    if not turns:
        return
    statement = (
        sa.update(calls)
        .where(calls.c.id == sa.bindparam("key"), calls.c.epoch == sa.bindparam("turn"))
        .values(
            due_at=_in(sa.bindparam("wait", type_=sa.Double)),
            polls=calls.c.polls + 1,
            failures=0,
            lease_owner=None,
            lease_until=None,
        )
    )
    rows: list[dict[str, Any]] = [{"key": turn.call.id, "turn": turn.epoch, "wait": seconds} for turn, seconds in turns]
    with database.write() as connection:
        connection.execute(statement, sorted(rows, key=lambda row: row["key"]))


def record_ready(
    database: Database, turn: ClaimedCall, result: Mapping[str, Any], *, lease_seconds: float
) -> ClaimedCall:
    """The provider is done; what is fetched next is written down first, so that a crash does not lose it."""
    with database.write(durable=True) as connection:
        _write(
            connection, turn, state=CallState.FETCHING, result=json.dumps(result), failures=0,
            due_at=db_now(), lease_owner=turn.owner, lease_until=db_now() + lease_seconds,
        )  # fmt: skip
        note(connection, turn.call.job_id, "call_ready", step=turn.call.step, provider=turn.call.provider)
    return dataclasses.replace(
        turn, call=dataclasses.replace(turn.call, state=CallState.FETCHING, result=result, failures=0)
    )


def record_done(database: Database, turn: ClaimedCall, result: Mapping[str, Any], *, spent: int) -> Wake | None:
    """The result is in storage: the call is settled and its job is woken."""
    return _end(database, turn, CallState.DONE, spent=spent, result=json.dumps(result))


def record_cancelled(database: Database, turn: ClaimedCall, *, spent: int) -> Wake | None:
    """The job did not need it any more."""
    return _end(database, turn, CallState.CANCELLED, spent=spent, result=None)


def record_failed(
    database: Database, turn: ClaimedCall, error: TelecineError, *, spent: int, last: bool = False
) -> Wake | None:
    """The model did not deliver: the next candidate's turn, or, with none left or ``last``, the job's."""
    call = turn.call
    with database.write(durable=True) as connection:
        rest = call.order.candidates[1:] if not last and _is_open(connection, call.job_id) else ()
        wake = None if rest else _wake(connection, call.job_id)
        values: dict[str, Any] = {
            "spent": spent,
            "reserved": 0,
            "finished_at": db_now(),
            "result": None,  # the result's URL is a secret, and of no use any more
            "error": json.dumps(error.as_record()),
        }
        _write(connection, turn, state=CallState.FAILED, due_at=None, **values)
        note(connection, call.job_id, "call_failed", step=call.step, provider=call.provider, model=call.model,
             code=error.code, message=error.message)  # fmt: skip
        if rest:
            why = {"model": call.model, "why": f"{error.code}: {error.message}"[:500]}
            order = dataclasses.replace(call.order, candidates=rest, losers=[*call.order.losers, why])
            insert_call(database, connection, call.job_id, call.step, call.attempt + 1, order,
                tenant=call.tenant, urgency=call.urgency)  # fmt: skip
    return wake


def resubmit(database: Database, call: CallRow, *, by: str) -> None:
    """A person decided that the provider never got the call: it is sent.

    Raises:
        StepSettled: it is not unknown any more, or its job has ended without it.
    """
    with database.write(durable=True) as connection:
        if not _is_open(connection, call.job_id):
            raise StepSettled(
                f"job {call.job_id!r} has ended and needs step {call.step!r} no more; close it with --fail"
            )
        _decide(connection, call, "sent again", by, state=CallState.QUEUED.value, due_at=db_now(), reserved=0,
                submitted_at=None, failures=0)  # fmt: skip


def adopt(database: Database, call: CallRow, task: str, *, by: str, give_up_seconds: float) -> None:
    """A person found the task at the provider: it is asked for from now on.

    Raises:
        StepSettled: it is not unknown any more.
        InvalidField: the task is another call's, whose result would go to two jobs.
    """
    found = json.dumps({"id": task, "extra": {}, "adopted": True})
    beginning = json.dumps({"id": task}).removesuffix("}") + ","
    same = (calls.c.provider == call.provider, calls.c.task.startswith(beginning, autoescape=True))
    with database.write(durable=True) as connection:
        other = connection.execute(sa.select(calls.c.job_id).where(*same, calls.c.id != call.id)).scalar()
        if other is not None:
            raise InvalidField(f"task {task} is that of job {other!r}; look for another one", field="adopt")
        _decide(connection, call, f"task {task} was adopted", by, state=CallState.WORKING.value, due_at=db_now(),
                task=found, give_up_at=db_now() + give_up_seconds, failures=0)  # fmt: skip


def record_adoption_failed(database: Database, turn: ClaimedCall, error: TelecineError) -> None:
    """The provider knows no task of the id that a person gave: the outcome is as unknown as before."""
    call = turn.call
    with database.write(durable=True) as connection:
        _write(connection, turn, state=CallState.UNKNOWN, due_at=None, task=None, give_up_at=None, failures=0)
        note(connection, call.job_id, "outcome_unknown", step=call.step, provider=call.provider, model=call.model,
             key=call.id, message=error.message, look_up=False)  # fmt: skip


def write_off(database: Database, call: CallRow, *, by: str) -> Wake | None:
    """A person gave the call up: its money counts as spent, and its job fails.

    Raises:
        StepSettled: it is not unknown any more.
    """
    error = ProviderOutcomeUnknown(f"nobody knows whether {call.provider} accepted the call; it was given up")
    with database.write(durable=True) as connection:
        wake = _wake(connection, call.job_id)
        _decide(connection, call, "given up", by, state=CallState.FAILED.value, due_at=None, finished_at=db_now(),
                reserved=0, spent=call.reserved, error=json.dumps(error.as_record()))  # fmt: skip
    return wake


def _decide(connection: Connection, call: CallRow, how: str, by: str, **values: Any) -> None:
    statement = (
        sa.update(calls)
        .where(calls.c.id == call.id, calls.c.epoch == call.epoch, calls.c.state == CallState.UNKNOWN.value)
        .values(lease_owner=None, lease_until=None, epoch=calls.c.epoch + 1, **values)
    )
    if connection.execute(statement).rowcount != 1:
        raise StepSettled(f"the outcome of step {call.step!r} is not unknown any more; look at `telecine explain`")
    note(connection, call.job_id, "resolved", step=call.step, provider=call.provider, how=how, by=by)


def abandon(database: Database, turn: ClaimedCall) -> None:
    """An unknown outcome that nobody waits for any more. It stays as it is, for the books."""
    with database.write() as connection:
        _write(connection, turn, state=CallState.UNKNOWN, due_at=None)


def may_pass(error: Exception) -> bool:
    """Whether writing the same receipt again may succeed: the ledger is away, locked, or being failed over."""
    return is_ledger_fault(error)


def record_not_found(database: Database, turn: ClaimedCall) -> None:
    """The provider was asked and never got the call: it may be sent, for the first time."""
    call = turn.call
    with database.write(durable=True) as connection:
        _queue(connection, turn, 0.0, failures=0)
        note(connection, call.job_id, "call_not_found", step=call.step, provider=call.provider)


def _end(database: Database, turn: ClaimedCall, state: CallState, *, spent: int, **values: Any) -> Wake | None:
    call = turn.call
    with database.write(durable=True) as connection:
        wake = _wake(connection, call.job_id)
        _write(connection, turn, state=state, due_at=None, finished_at=db_now(), reserved=0, spent=spent, **values)
        event = "call_done" if state is CallState.DONE else "call_cancelled"
        note(connection, call.job_id, event, step=call.step, provider=call.provider, model=call.model)
    return wake


def _queue(connection: Connection, turn: ClaimedCall, seconds: float, failures: int) -> None:
    """The call was not sent: it will be after ``seconds``, unless its job has ended meanwhile."""
    values: dict[str, Any] = {"failures": failures, "reserved": 0, "submitted_at": None}
    if _is_open(connection, turn.call.job_id):
        _write(connection, turn, state=CallState.QUEUED, due_at=db_now() + seconds, **values)
    else:
        _write(connection, turn, state=CallState.CANCELLED, due_at=None, finished_at=db_now(), **values)


def _in(seconds: Any) -> sa.ColumnElement[float]:
    """The time after so many seconds; at once for a call that is to be stopped."""
    return sa.case((calls.c.cancel_requested.is_(True), db_now()), else_=db_now() + seconds)


def _wake(connection: Connection, job_id: str) -> Wake | None:
    """Makes the parked job due. First in its transaction: jobs are locked before calls, everywhere."""
    parked = jobs.c.state == State.WAITING.value
    # The sweep wakes it a moment later, should nobody else.
    values = {"not_before": db_now(), "wake_at": db_now() + 1.0, "wakes": sa.literal(0)}
    row = connection.execute(
        sa.update(jobs)
        # A job that is not parked stays as it is, but is locked too: it must not be parked before the call has ended.
        .where(jobs.c.id == job_id)
        .values({name: sa.case((parked, value), else_=jobs.c[name]) for name, value in values.items()})
        .returning(jobs.c.state, jobs.c.role, jobs.c.priority)
    ).first()
    return Wake(job_id, row.role, row.priority) if row is not None and row.state == State.WAITING.value else None


def _is_open(connection: Connection, job_id: str) -> bool:
    """Whether the job goes on; it does until this transaction ends."""
    state = connection.execute(sa.select(jobs.c.state).where(jobs.c.id == job_id).with_for_update()).scalar()
    return state is not None and State(state) in OPEN


def _set_unknown(database: Database, call: CallRow, epoch: int, owner: str | None, why: str, *, look_up: bool) -> None:
    with database.write(durable=True) as connection:
        statement = (
            sa.update(calls)
            .where(calls.c.id == call.id, calls.c.epoch == epoch, calls.c.lease_owner == owner)
            .where(calls.c.state == CallState.SUBMITTING.value)
            .values(
                state=CallState.UNKNOWN.value, lease_owner=None, lease_until=None, failures=0,
                due_at=db_now() + LOOK_UP_SECONDS if look_up else None,
            )
        )  # fmt: skip
        if connection.execute(statement).rowcount:
            note(connection, call.job_id, "outcome_unknown", step=call.step, provider=call.provider,
                 model=call.model, key=call.id, message=why, look_up=look_up)  # fmt: skip


def _write(connection: Connection, turn: ClaimedCall, *, state: CallState, **values: Any) -> None:
    """One change of the call's row, which gives the turn back; ``values`` may keep it.

    Who was late in sending, so that the outcome counts as unknown, may still tell it while nobody has acted since:
    the epoch is the same.
    """
    late = sa.and_(calls.c.lease_owner.is_(None), calls.c.state == CallState.UNKNOWN.value)
    statement = (
        sa.update(calls)
        .where(calls.c.id == turn.call.id, calls.c.epoch == turn.epoch)
        .where(sa.or_(calls.c.lease_owner == turn.owner, late))
        .values(state=state.value, **{"lease_owner": None, "lease_until": None, **values})
    )
    if connection.execute(statement).rowcount != 1:
        raise LeaseLost
