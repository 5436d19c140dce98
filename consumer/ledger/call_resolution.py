"""An operator's decision about a call whose outcome is unknown: resubmit it, adopt its task, or write it off."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.call_records import CallRow, CallTask
from consumer.ledger.call_transitions import lock_open_job, wake_job
from consumer.ledger.database import Database, db_now
from consumer.ledger.due import Wake
from consumer.ledger.states import CallState
from consumer.ledger.tables import calls
from consumer.ledger.timeline import note
from schemas.errors import InvalidField, ProviderOutcomeUnknown, StepSettled


def resubmit(database: Database, call: CallRow, *, by: str) -> None:
    """Queue the call again: the provider never received it.

    Raises:
        StepSettled: The outcome is no longer unknown, or the job has ended.
    """
    with database.write(durable=True) as connection:
        if not lock_open_job(connection, call.job_id):
            raise StepSettled(
                f"job {call.job_id!r} has ended and no longer needs step {call.step!r}; close the call with --fail"
            )
        _settle(
            connection,
            call,
            "sent again",
            by,
            state=CallState.QUEUED.value,
            due_at=db_now(),
            reserved=0,
            submitted_at=None,
            failures=0,
        )


def adopt(database: Database, call: CallRow, task: str, *, by: str, give_up_seconds: float) -> None:
    """Poll ``task`` from now on: it is what the provider made of the call.

    Raises:
        StepSettled: The outcome is no longer unknown.
        InvalidField: The task belongs to another call, and its result would go to two jobs.
    """
    beginning = json.dumps({"id": task}).removesuffix("}") + ","
    same_task = (calls.c.provider == call.provider, calls.c.task.startswith(beginning, autoescape=True))
    with database.write(durable=True) as connection:
        other = connection.execute(sa.select(calls.c.job_id).where(*same_task, calls.c.id != call.id)).scalar()
        if other is not None:
            raise InvalidField(f"task {task} belongs to job {other!r}; check the task's id", field="adopt")
        _settle(
            connection,
            call,
            f"task {task} was adopted",
            by,
            state=CallState.WORKING.value,
            due_at=db_now(),
            task=json.dumps(CallTask(task, adopted=True).to_stored()),
            give_up_at=db_now() + give_up_seconds,
            failures=0,
        )


def write_off(database: Database, call: CallRow, *, by: str) -> Wake | None:
    """Fail the call and its job. The reserved price counts as spent.

    Raises:
        StepSettled: The outcome is no longer unknown.
    """
    error = ProviderOutcomeUnknown(f"It is unknown whether {call.provider} accepted the call; it was written off.")
    with database.write(durable=True) as connection:
        wake = wake_job(connection, call.job_id)
        _settle(
            connection,
            call,
            "given up",
            by,
            state=CallState.FAILED.value,
            due_at=None,
            finished_at=db_now(),
            reserved=0,
            spent=call.reserved,
            error=json.dumps(error.as_record()),
        )
    return wake


def _settle(connection: Connection, call: CallRow, how: str, by: str, **values: Any) -> None:
    statement = (
        sa.update(calls)
        .where(calls.c.id == call.id, calls.c.epoch == call.epoch, calls.c.state == CallState.UNKNOWN.value)
        .values(lease_owner=None, lease_until=None, epoch=calls.c.epoch + 1, **values)
    )
    if connection.execute(statement).rowcount != 1:
        raise StepSettled(f"the outcome of step {call.step!r} is no longer unknown; see `telecine explain`")
    note(connection, call.job_id, "resolved", step=call.step, provider=call.provider, how=how, by=by)
