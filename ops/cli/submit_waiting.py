"""Waiting for the jobs of several requests, with a summary."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from consumer.ledger import dead_letters
from consumer.ledger.queries import deliveries_by_job
from consumer.ledger.records import Job
from consumer.ledger.states import State
from ops.cli.console import err, out, print_json, remark, show, table
from ops.cli.job_waiter import JobWaiter
from ops.cli.messages import Message
from ops.cli.opening import open_or_create_ledger
from ops.cli.sending import send
from ops.formatting import count, duration, styled_state
from ops.views import job_view
from schemas.envelope import Request
from schemas.errors import TelecineError
from schemas.settings import Settings

_POLL_SECONDS = 0.2


def wait_for_all(
    settings: Settings,
    messages: Sequence[Message],
    timeout_seconds: float,
    *,
    errors: Sequence[Mapping[str, Any]],
    as_json: bool,
) -> None:
    """Send the messages, wait until every job has ended, and print a summary; end with the exit status of `submit`."""
    database = open_or_create_ledger(settings)
    try:
        newest = dead_letters.newest_number(database)
        requests = {message.request.id: message.request for message in messages if isinstance(message.request, Request)}
        waiters = {job_id: JobWaiter(database, request, after=newest) for job_id, request in requests.items()}
        before = {job_id for job_id, waiter in waiters.items() if waiter.ended_before() is not None}
        sent = send(settings, [message.body for message in messages])
        if not as_json:
            remark(str(sent))
        jobs, refused = _wait(waiters, timeout_seconds, quiet=as_json)
        callbacks = deliveries_by_job(database, list(jobs)) if as_json and jobs else {}
        now = database.now()
    finally:
        database.close()
    pending = [
        job_id for job_id in requests if job_id not in refused and not (job_id in jobs and jobs[job_id].terminal)
    ]
    if as_json:
        print_json(
            {
                "jobs": [job_view(job, callbacks.get(job.id, ()), now=now) for job in jobs.values()],
                "refused": [{"job_id": job_id, "error": error.as_record()} for job_id, error in refused.items()],
                "errors": list(errors),
                "not_ended": pending,
            }
        )
    else:
        _summarize(jobs, refused, pending, len(errors), before)
    if pending:
        raise typer.Exit(2)
    if errors or refused or any(job.state is not State.COMPLETED for job in jobs.values()):
        raise typer.Exit(1)


def _wait(
    waiters: Mapping[str, JobWaiter], timeout_seconds: float, *, quiet: bool
) -> tuple[dict[str, Job], dict[str, TelecineError]]:
    jobs: dict[str, Job] = {}
    refused: dict[str, TelecineError] = {}
    deadline = time.monotonic() + timeout_seconds
    open_ids = list(waiters)
    with _bar(len(open_ids), quiet=quiet) as progress:
        while open_ids and time.monotonic() < deadline:
            for job_id in open_ids:
                try:
                    job = waiters[job_id].job()
                except TelecineError as error:
                    refused[job_id] = error
                else:
                    jobs |= {} if job is None else {job_id: job}
            open_ids = [
                job_id
                for job_id in open_ids
                if job_id not in refused and not (job_id in jobs and jobs[job_id].terminal)
            ]
            progress.update(progress.task_ids[0], completed=len(waiters) - len(open_ids))
            if open_ids:
                time.sleep(_POLL_SECONDS)
    return jobs, refused


@contextlib.contextmanager
def _bar(total: int, *, quiet: bool) -> Iterator[Progress]:
    columns = (TextColumn("ended"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=quiet or not err.is_terminal, transient=True) as progress:
        progress.add_task("ended", total=total)
        yield progress


def _summarize(
    jobs: Mapping[str, Job],
    refused: Mapping[str, TelecineError],
    pending: Sequence[str],
    invalid: int,
    before: Collection[str],
) -> None:
    made = table("JOB", "STATE", "TOOK", "NOTE", right=("TOOK",), whole=("STATE", "TOOK"), drop=("TOOK", "NOTE"))
    for job in jobs.values():
        took = "" if job.finished_at is None else duration(job.finished_at - job.received_at)
        notes = [str((job.error or {}).get("code", "")), "had ended before" if job.id in before else ""]
        made.add_row(job.id, styled_state(job.state.value), took, Text(", ".join(filter(None, notes))))
    for job_id, error in refused.items():
        made.add_row(job_id, Text("refused", style="bold red"), "", Text(error.code))
    for job_id in pending:
        if job_id not in jobs:
            made.add_row(job_id, Text("not received", style="yellow"), "", "")
    show(made)
    out.print()
    numbers = Counter(job.state.value for job in jobs.values() if job.terminal)
    numbers |= Counter({"refused": len(refused), "invalid and not sent": invalid})
    parts = [f"{number} {word}" for word, number in numbers.items() if number]
    if pending:
        parts.append(f"{len(pending)} not ended; `telecine list` shows them")
    if before:
        remark(f"{count(len(before), 'job')} had ended before: the same request is not run again; use a new id.")
    show(Text(f"{count(len(jobs) + len(refused) + invalid, 'request')}: {', '.join(parts)}."))
