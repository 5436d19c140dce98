"""What a job waits for while no worker runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consumer.ledger import calls
from consumer.ledger.call_records import CallRow
from consumer.ledger.database import Database
from consumer.ledger.pauses import Pause, PauseKind, list_pauses
from consumer.ledger.records import Job
from consumer.ledger.states import CallState, State
from ops.views import iso


def waiting_on(database: Database, job: Job, *, embedded: bool) -> str | None:
    """Return what the job waits for: a provider, an operator's decision, the end of a pause or a worker.

    ``None`` for a job that is running, has ended or is not due yet.
    """
    return waits_of(database, [job], embedded=embedded).get(job.id)


def waits_of(database: Database, jobs: Sequence[Job], *, embedded: bool) -> dict[str, str]:
    """Return what each of the jobs waits for, by id, as ``waiting_on`` does. Three queries for any number of jobs."""
    open_jobs = [job for job in jobs if not job.terminal]
    if not open_jobs:
        return {}
    parked = [job.id for job in open_jobs if job.state is State.WAITING]
    unsettled = calls.unsettled_of(database, parked) if parked else {}
    pauses = {(pause.kind, pause.name): pause for pause in list_pauses(database)}
    now = database.now()
    found = {job.id: _reason(job, unsettled.get(job.id), pauses, now, embedded=embedded) for job in open_jobs}
    return {job_id: reason for job_id, reason in found.items() if reason is not None}


def _reason(
    job: Job, call: CallRow | None, pauses: Mapping[tuple[PauseKind, str], Pause], now: float, *, embedded: bool
) -> str | None:
    if call is not None:
        pause = pauses.get((PauseKind.PROVIDER, call.provider))
        return _call(call) if pause is None or call.state is not CallState.QUEUED else _paused(pause)
    held = job.lease_until is not None and job.lease_until > now
    if held or job.not_before > now or job.wake_at is None:
        return None
    if (pause := pauses.get((PauseKind.TYPE, job.type))) is not None:
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
