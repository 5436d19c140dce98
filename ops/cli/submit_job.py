"""One request of ``telecine submit`` and its job in the ledger."""

from __future__ import annotations

import typer
from sqlalchemy.exc import SQLAlchemyError

from consumer.ledger import dead_letters
from consumer.ledger.database import Database
from consumer.ledger.queries import deliveries_of
from consumer.ledger.records import Job
from consumer.ledger.states import State
from ops.checks.paths import missing_ledger
from ops.cli.console import print_json, remark, show
from ops.cli.job_waiter import JobWaiter
from ops.cli.opening import open_or_create_ledger
from ops.cli.outputs import show_outcome
from ops.cli.sending import send
from ops.cli.status import headline
from ops.formatting import ago
from ops.views import job_view
from schemas.envelope import Request
from schemas.errors import error_for
from schemas.settings import Settings


def note_ended(settings: Settings, request: Request) -> str | None:
    """Return a sentence if the same request has ended before; ``None`` also if there is no ledger at hand."""
    if missing_ledger(settings) is not None:
        return None
    database = Database(settings.ledger)
    try:
        ended = JobWaiter(database, request, after=0).ended_before()
        return None if ended is None else _ended_before(ended, database.now())
    except SQLAlchemyError:
        return None
    finally:
        database.close()


def _ended_before(job: Job, now: float) -> str:
    """Return a sentence about a request that has ended before: sending it again changes nothing."""
    again = "use a new id" if job.state is State.COMPLETED else f"use a new id or run `telecine retry {job.id}`"
    when = ago(now - (job.finished_at or now))
    return f"{job.id} already {job.state.value} {when}, and the same request is not run again; {again}."


def send_and_wait(settings: Settings, body: bytes, request: Request, timeout_seconds: float, as_json: bool) -> None:
    """Send the request, wait until its job has ended, and show what became of it."""
    database = open_or_create_ledger(settings)
    try:
        waiter = JobWaiter(database, request, after=dead_letters.newest_number(database))
        if not as_json and (ended := waiter.ended_before()) is not None:
            remark(_ended_before(ended, database.now()))
        send(settings, [body])
        job = waiter.until_ended(timeout_seconds, quiet=as_json, embedded=settings.embedded)
        deliveries, now = deliveries_of(database, job.id), database.now()
    finally:
        database.close()
    if as_json:
        print_json(job_view(job, deliveries, now=now))
        if job.error is not None:
            raise typer.Exit(1)
        return
    if job.error is not None:
        raise error_for(job.error["code"], job.error["message"], step=job.error.get("step"))
    show(headline(job))
    show_outcome(job, settings)
