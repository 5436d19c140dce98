"""What a job waits for while no worker runs it."""

from __future__ import annotations

from consumer.ledger import calls
from consumer.ledger.call_records import CallRow
from consumer.ledger.database import Database
from consumer.ledger.pauses import Pause, PauseKind, find_pause
from consumer.ledger.records import Job
from consumer.ledger.states import CallState, State
from ops.views import iso


def waiting_on(database: Database, job: Job, *, embedded: bool) -> str | None:
    """Return what the job waits for: a provider, an operator's decision, the end of a pause or a worker.

    ``None`` for a job that is running, has ended or is not due yet.
    """
    if job.terminal:
        return None
    ordered = calls.of_job(database, job.id) if job.state is State.WAITING else []
    call = next((call for call in reversed(ordered) if not call.settled), None)
    if call is not None:
        pause = find_pause(database, PauseKind.PROVIDER, call.provider)
        return _call(call) if pause is None or call.state is not CallState.QUEUED else _paused(pause)
    now = database.now()
    held = job.lease_until is not None and job.lease_until > now
    if held or job.not_before > now or job.wake_at is None:
        return None
    if (pause := find_pause(database, PauseKind.TYPE, job.type)) is not None:
        return _paused(pause)
    if embedded:
        return "a free worker; `telecine up` runs one"
    return (
        f"a free worker with role {job.role}; `telecine worker --role {job.role}` starts one, "
        "`telecine doctor` shows which are running"
    )


def _paused(pause: Pause) -> str:
    what = "job type" if pause.kind is PauseKind.TYPE else "provider"
    return (
        f"`telecine resume --{pause.kind} {pause.name}`: "
        f"the {what} {pause.name} was paused by {pause.by} at {iso(pause.at)}"
    )


def _call(call: CallRow) -> str:
    if call.state is CallState.UNKNOWN:
        return (
            f"a decision: it is unknown whether {call.provider} accepted the call of step {call.step}; "
            f"see `telecine resolve {call.job_id} --help`"
        )
    return f"{call.provider} ({call.model}, step {call.step}, {call.state.value})"
