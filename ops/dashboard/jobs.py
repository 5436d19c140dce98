"""The list of jobs, with its filter in the address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from starlette.responses import Response

from consumer.ledger.browsing import count_jobs
from consumer.ledger.database import Database
from consumer.ledger.queries import find_job, list_jobs
from consumer.ledger.records import Job
from consumer.ledger.states import State
from ops.dashboard.filters import STATE_GROUPS, JobFilter, known_types
from ops.dashboard.view import Dashboard, View
from ops.edge.core import is_job_id
from ops.waiting_on import waits_of

_ROWS = 50
#: The list says "more than" above this number.
_MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class JobRow:
    """One line of a list."""

    job: Job
    #: What an open job waits for, or the error of one that ended without a result.
    remark: str
    #: Seconds from its start to its end or until now; ``None`` if it has not started.
    took: float | None


def page(view: View) -> Response:
    """Return the newest jobs that the filter lets through."""
    wanted = JobFilter.parse(view.query)
    job_id = view.query.get("id", "").strip()
    found_id = find_job(view.database, job_id) if is_job_id(job_id) else None
    if found_id is not None and view.visitor.may_see(found_id):
        return view.redirect(f"/jobs/{quote(job_id, safe='')}")
    if view.visitor.tenant is not None:
        wanted = replace(wanted, tenant=view.visitor.tenant)
    chosen = {name: value for name, value in wanted.fields().items() if name != "tenant" or not view.visitor.tenant}
    conditions = wanted.conditions(view.database.now())
    before = _before(view.query.get("before", ""))
    found = list_jobs(view.database, **conditions, before=before, limit=_ROWS + 1)
    rows = job_rows(view.database, found[:_ROWS], embedded=view.settings.embedded)
    return view.render(
        "jobs.html",
        wanted=wanted,
        chosen=chosen,
        rows=rows,
        total=_total(view.dashboard, wanted),
        most=_MOST_COUNTED,
        older=wanted.query(before=_mark(found[_ROWS - 1])) if len(found) > _ROWS else None,
        first=before is None,
        types=known_types(),
        groups=list(STATE_GROUPS),
        states=[state.value for state in State],
        unknown_id=job_id,
        is_new=not rows and not chosen and before is None,
        now=view.database.now(),
        embedded=view.settings.embedded,
        health=view.dashboard.health.get(),
    )


def job_rows(database: Database, jobs: Sequence[Job], *, embedded: bool) -> list[JobRow]:
    """Return the lines of a list."""
    now, waits = database.now(), waits_of(database, jobs, embedded=embedded)
    return [_row(job, waits.get(job.id), now) for job in jobs]


def _row(job: Job, waits: str | None, now: float) -> JobRow:
    took = None if job.started_at is None else max(0.0, (job.finished_at or now) - job.started_at)
    if job.error is not None:
        return JobRow(job, f"{job.error['code']}: {job.error['message']}", took)
    return JobRow(job, "" if waits is None else f"waits for {waits}", took)


def _total(dashboard: Dashboard, wanted: JobFilter) -> int:
    """Count the jobs, once for all who look at the same list."""

    def count() -> int:
        conditions = wanted.conditions(dashboard.database.now())
        return count_jobs(dashboard.database, **conditions, most=_MOST_COUNTED + 1)

    if len(dashboard.more) > 500:  # addresses that programs made up
        dashboard.more.clear()
    return int(dashboard.shared(f"jobs{wanted.query()}", count))


def _mark(job: Job) -> str:
    return f"{job.received_at!r}_{job.id}"


def _before(text: str) -> tuple[float, str] | None:
    at, _, job_id = text.partition("_")
    try:
        return (float(at), job_id) if job_id else None
    except ValueError:
        return None
