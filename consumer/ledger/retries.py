"""Retrying a job that ended without a result: the same job runs again, and its new ending has its own callback.

Nothing that is done is done again. Recorded steps and paid results stay; a step whose call failed makes a new call,
with a new idempotency key. See docs/decisions/0015-retry.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.call_records import CallRow, call_from
from consumer.ledger.calls import latest
from consumer.ledger.database import Database, db_now
from consumer.ledger.records import Job, job_from
from consumer.ledger.states import RETRYABLE, CallState, State
from consumer.ledger.tables import NO_TENANT, calls, jobs, timeline
from consumer.ledger.timeline import note
from schemas.errors import (
    AlreadyCompleted,
    AlreadyPaid,
    DeadlineExceeded,
    JobNotEnded,
    JobNotFound,
    ProviderOutcomeUnknown,
    ResultsDeleted,
)

#: Numbers that are reserved for the calls of one step within one run of the job.
_ATTEMPTS_PER_RUN = 1000

# Built once: building a statement costs more than sending it.
_COUNT = sa.select(sa.func.count()).where(timeline.c.job_id == sa.bindparam("job"), timeline.c.event == "retried")


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry that was recorded."""

    job_id: str
    #: 1 for the first retry of the job.
    number: int


def retry(database: Database, job_id: str, *, by: str, pay_again: bool = False) -> Retry:
    """Make an ended job due again, as if its request had just been received. One durable transaction.

    Its failures, crashes, progress and deadline start again. A new ``received_at`` gives its callbacks new ids.

    Args:
        database: The ledger.
        job_id: The job's id.
        by: Who retries it, for the timeline.
        pay_again: Also retry if a provider charged for a call without a result; it is called and paid again.

    Raises:
        JobNotFound: No job has this id.
        AlreadyCompleted: It has a result.
        JobNotEnded: It has not ended, or a call of it is still being cancelled.
        DeadlineExceeded: Its deadline is a time that has passed.
        ResultsDeleted: Its files were deleted, or are being deleted.
        ProviderOutcomeUnknown: A call may have been accepted by its provider; it must be settled first.
        AlreadyPaid: A call was charged and gave no result.
    """
    with database.write(durable=True) as connection:
        query = sa.select(jobs, db_now().label("now")).where(jobs.c.id == job_id).with_for_update()
        row = connection.execute(query).mappings().first()
        if row is None:
            raise JobNotFound(f"no job has the id {job_id!r}; `telecine list` prints the jobs there are")
        job, now = job_from(row), float(row["now"])
        _check_state(job)
        _check_calls(connection, job_id, pay_again=pay_again)
        deadline = _new_deadline(job, now)
        number = _count(connection, job_id) + 1
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(**_restarted(job, now, deadline)))
        error = job.error or {}
        note(connection, job_id, "retried", retry=number, by=by, after=job.state.value, code=error.get("code"))
    return Retry(job_id, number)


def number_of(database: Database, job: Job) -> int:
    """Return how often the job was retried; 0 in its first run."""
    if job.epoch < 2:  # each run has its own fencing numbers, so that most jobs need no query
        return 0
    with database.read() as connection:
        return _count(connection, job.id)


def latest_call(database: Database, job: Job, step: str) -> tuple[CallRow | None, int]:
    """Return the newest call of the step, and the number of its first call in this run of the job.

    Calls with lower numbers belong to earlier runs and count only if they are done; otherwise there is ``None``.
    """
    if job.epoch < 2:  # this is its first attempt
        return None, 1
    call = latest(database, job.id, step)
    if call is not None and (call.state is CallState.DONE or not call.settled):
        return call, call.attempt
    first = number_of(database, job) * _ATTEMPTS_PER_RUN + 1
    return (None if call is None or call.attempt < first else call), first


def _restarted(job: Job, now: float, deadline: float | None) -> dict[str, object]:
    # Before its first claim ``not_before`` is what the request says; afterwards it is that of the last park.
    start = max(now, job.not_before) if job.started_at is None else now
    return {
        "state": State.RECEIVED.value,
        "received_at": now,
        "started_at": None,
        "finished_at": None,
        "deadline_at": deadline,
        "not_before": start,
        "wake_at": start,  # the sweep wakes it
        "wakes": 0,
        "line": (job.tenant or NO_TENANT) if start <= now else None,
        "lease_until": None,
        "lease_owner": None,
        "epoch": job.epoch + 1,
        "crashes": 0,
        "failures": 0,
        "progress": 0,
        "cancel_requested": False,
        "outcome": None,
        "error": None,
    }


def _check_state(job: Job) -> None:
    if job.results_deleted_at is not None and job.state is not State.COMPLETED:
        raise ResultsDeleted(f"the files of {job.id} were deleted; send a new request")
    if job.state is State.COMPLETED:
        raise AlreadyCompleted(f"{job.id} is completed; `telecine status {job.id}` shows its results")
    if job.state not in RETRYABLE:
        raise JobNotEnded(f"{job.id} is {job.state.value}; wait until it ends, or cancel it first")


def _check_calls(connection: Connection, job_id: str, *, pay_again: bool) -> None:
    query = sa.select(calls).where(calls.c.job_id == job_id).order_by(calls.c.attempt)
    by_step: dict[str, list[CallRow]] = {}
    for row in connection.execute(query).mappings():
        call = call_from(row)
        by_step.setdefault(call.step, []).append(call)
        if call.state is CallState.UNKNOWN:
            raise ProviderOutcomeUnknown(
                f"it is unknown whether {call.provider} accepted the call of step {call.step}; settle it first, see"
                f" `telecine resolve {job_id} --help`",
                step=call.step,
            )
        if not call.settled:
            raise JobNotEnded(f"the call of step {call.step} is still being cancelled; retry {job_id} in a minute")
    for step, made in by_step.items():
        if not pay_again and (lost := _paid_for_nothing(made)) is not None:
            raise AlreadyPaid(
                f"{lost.provider} charged for the call of step {step}, which gave no result; with --pay-again it is"
                " called and paid once more",
                step=step,
            )


def _paid_for_nothing(made: Sequence[CallRow]) -> CallRow | None:
    """Return a call of one step that was charged, unless the step has a result."""
    if any(call.state is CallState.DONE for call in made):
        return None
    return next((call for call in made if call.spent), None)


def _new_deadline(job: Job, now: float) -> float | None:
    deadline = job.parsed().deadline_at(now)
    if deadline is not None and deadline <= now:
        raise DeadlineExceeded(f"the deadline of {job.id} is a time that has passed; send a new request")
    return deadline


def _count(connection: Connection, job_id: str) -> int:
    return int(connection.execute(_COUNT, {"job": job_id}).scalar_one())
