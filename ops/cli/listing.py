"""``telecine list``: the newest jobs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from consumer.ledger.browsing import stuck_jobs
from consumer.ledger.call_queries import with_unknown_outcome
from consumer.ledger.queries import deliveries_by_job, error_codes, list_jobs
from consumer.ledger.records import Delivery, Job
from consumer.ledger.states import State
from ops.cli.arguments import no_match, parse_since
from ops.cli.console import JsonOption, remark, stop, table
from ops.cli.opening import opened_ledger, read_settings
from ops.cli.watch import Screen, WatchOption, present
from ops.formatting import ago, count, duration, styled_state
from ops.source_status import OPEN_WORDS, states_of_word
from ops.views import job_view
from schemas.job_types import JOB_TYPES
from schemas.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("list")(list_)


def list_(
    status: Annotated[
        str | None,
        typer.Option(
            help="Only jobs in this state; pending and processing are also accepted.",
            autocompletion=lambda: [*State, *OPEN_WORDS],
        ),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's jobs.")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="Only jobs of this type.", autocompletion=lambda: list(JOB_TYPES))
    ] = None,
    code: Annotated[str | None, typer.Option(help="Only jobs that ended with this error code.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only jobs received since then: 30m, 2h, 7d, or a time, 2026-11-30T06:00Z.")
    ] = None,
    stuck: Annotated[
        bool,
        typer.Option(
            "--stuck",
            help="Only jobs that need a look, oldest first: due for 5 minutes without a worker, not ended for an hour, "
            "or with two lost workers.",
        ),
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Maximum number of jobs to list.")] = 20,
    watch: WatchOption = False,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    settings = read_settings()
    states, at_work = states_of(status)
    if stuck and {status, tenant, type_, code, since} != {None}:
        stop("--stuck takes no other filter; leave it or the others out.", code="invalid_field", status=2)
    if since is not None:
        parse_since(since, 0)  # an invalid one is an error before the ledger is read

    def read() -> Screen:
        chosen = {"states": states, "at_work": at_work, "tenant": tenant, "type_": type_, "code": code}
        return _screen(settings, quiet=watch, stuck=stuck, limit=limit, since=since, **chosen)

    shown = present(read, watch=watch, as_json=as_json)
    if shown is None or as_json:
        return
    if not shown.record and not shown.remark:
        remark("No job matches." if type_ or since else _nothing("stuck" if stuck else status, tenant))


def _screen(settings: Settings, *, quiet: bool, stuck: bool, limit: int, since: str | None, **chosen: Any) -> Screen:
    with opened_ledger(settings, quiet=quiet) as database:
        now = database.now()
        start = None if since is None else parse_since(since, now)
        most = limit + 1
        jobs = stuck_jobs(database, limit=most) if stuck else list_jobs(database, since=start, limit=most, **chosen)
        more, jobs = len(jobs) == most, jobs[:limit]
        callbacks = deliveries_by_job(database, [job.id for job in jobs]) if jobs else {}
        unknown = with_unknown_outcome(database, [job.id for job in jobs if job.state is State.WAITING])
        code = chosen["code"]
        nothing = "" if jobs or code is None else no_match("job", code, lambda: error_codes(database))
    record = [job_view(job, callbacks.get(job.id, ()), now=now) for job in jobs]
    lines = [_table(jobs, callbacks, unknown, now)] if jobs else []
    return Screen(lines, record, remark=_more(limit) if more else nothing)


def _more(limit: int) -> str:
    return f"There are more than {limit} jobs; raise --limit to see them."


def states_of(word: str | None) -> tuple[Sequence[str], bool | None]:
    """Return the states that a status word covers, and which ``waiting`` jobs: ``at_work`` of ``list_jobs``."""
    if word is None:
        return (), None
    if word.lower() in OPEN_WORDS:
        return states_of_word(word.lower())
    known = [item.value for item in State]
    if word.lower() not in known:
        stop(f"Unknown state {word!r}; available: {', '.join([*known, *OPEN_WORDS])}.", code="invalid_field", status=2)
    return (word.lower(),), None


def _nothing(status: str | None, tenant: str | None) -> str:
    if tenant is not None:
        return f"No job of {tenant} is {status}." if status else f"{tenant} has no jobs."
    return f"No job is {status}." if status else "No jobs yet. `telecine submit request.json` sends one."


def _table(jobs: Sequence[Job], callbacks: dict[str, list[Delivery]], unknown: Collection[str], now: float) -> Table:
    shared = any(job.tenant is not None for job in jobs)
    made = table(
        "JOB",
        *(["TENANT"] if shared else []),
        "TYPE",
        "STATE",
        "DONE",
        "RECEIVED",
        "TOOK",
        "NOTE",
        right=("DONE", "TOOK"),
        whole=("STATE", "DONE", "RECEIVED", "TOOK"),
        drop=("TOOK", "TYPE", "DONE", "TENANT", "RECEIVED", "NOTE"),
    )
    for job in jobs:
        ran = None if job.started_at is None else (job.finished_at or now) - job.started_at
        made.add_row(
            job.id,
            *([job.tenant or ""] if shared else []),
            job.type,
            styled_state(job.state.value),
            f"{job.progress} %",
            ago(now - job.received_at),
            "" if ran is None else duration(ran),
            _note(job, callbacks.get(job.id, []), now, unknown=job.id in unknown),
        )
    return made


def _note(job: Job, callbacks: Sequence[Delivery], now: float, *, unknown: bool = False) -> Text:
    notes = [] if job.priority == "normal" else [f"{job.priority} priority"]
    if job.scheduled_for is not None and job.scheduled_for > now and not job.terminal:
        notes.append(f"starts in {duration(job.scheduled_for - now)}")
    if job.deadline_at is not None and not job.terminal:
        late = job.deadline_at <= now
        notes.append("past its deadline" if late else f"due in {duration(job.deadline_at - now)}")
    if job.error is not None and job.error["code"] not in ("cancelled",):
        notes.append(str(job.error["code"]))
    if unknown:
        notes.append("outcome_unknown")
    if job.cancel_requested and not job.terminal:
        notes.append("cancelling")
    if job.crashes:
        notes.append(count(job.crashes, "crash"))
    troubled = [item.state.value for item in callbacks if item.state.value in ("retrying", "disabled", "exhausted")]
    notes += [f"callback {word}" for word in troubled]
    return Text(", ".join(notes))
