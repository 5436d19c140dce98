"""``telecine submit``: send a request to a queue or the inbox."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from consumer.doors.inbox import drop
from consumer.ledger import dead_letters
from consumer.ledger.database import Database
from consumer.ledger.queries import deliveries_of
from consumer.ledger.records import Job
from consumer.ledger.states import State
from consumer.logs import scrub
from ops.checks.paths import missing_ledger
from ops.cli.arguments import FileArgument, read_request
from ops.cli.console import JsonOption, print_json, remark, say, show
from ops.cli.job_waiter import JobWaiter
from ops.cli.opening import open_or_create_ledger, read_settings
from ops.cli.outputs import show_outcome
from ops.cli.status import headline
from ops.formatting import ago
from ops.views import job_view
from schemas.envelope import Cancel, Request
from schemas.errors import ConfigurationError, error_for
from schemas.parse import parse_request
from schemas.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("submit")(submit)


def submit(
    file: FileArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Show the progress and wait until the job ends.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="With --wait: longest wait, in seconds.")] = 3600.0,
    as_json: JsonOption = False,
) -> None:
    """Validate a request, send it and print its id.

    With --wait the exit status is 0 for a completed job, 1 for one that ended otherwise, and 2 after the timeout.
    """
    body = read_request(file)
    settings = read_settings()
    request = parse_request(body, limit_bytes=settings.max_message_bytes)
    if wait and isinstance(request, Request):
        _send_and_wait(settings, body, request, timeout, as_json)
        return
    ended = _note_ended(settings, request) if isinstance(request, Request) else None
    send(settings, body)
    if as_json:
        sent = {"job_id": request.id, "sent": "cancel" if isinstance(request, Cancel) else "request"}
        print_json(sent if ended is None else sent | {"message": ended})
        return
    if ended is not None:
        remark(ended)
    say(request.id)


def send(settings: Settings, body: bytes) -> None:
    """Put the request on the first request queue of RabbitMQ or SQS, confirmed; in embedded mode into the inbox.

    Raises:
        ConfigurationError: If it was not sent, or the broker did not confirm it; sending it again is harmless.
    """
    if settings.embedded:
        try:
            drop(settings.inbox_folder, body)
        except OSError as error:
            raise ConfigurationError(f"cannot write to the inbox {settings.inbox_folder}: {error.strerror}") from None
        return
    from consumer.doors.publish import publish, publish_to_sqs
    from consumer.doors.sqs.client import sqs_options

    if settings.amqp_url is None and not settings.sqs_queues:
        raise ConfigurationError("no request queue is configured; set TELECINE_SQS_QUEUES")
    try:
        if settings.amqp_url is not None:
            publish(settings.amqp_url, settings.amqp_queues[0], [body], delivery_limit=settings.amqp_delivery_limit)
        else:
            publish_to_sqs(sqs_options(settings), settings.sqs_queues[0], [body])
    except Exception as error:
        reason = scrub(f"{type(error).__name__}: {error}")
        raise ConfigurationError(
            f"the broker did not confirm the request ({reason}); send it again after `telecine doctor` passes"
        ) from None


def _note_ended(settings: Settings, request: Request) -> str | None:
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


def _send_and_wait(settings: Settings, body: bytes, request: Request, timeout_seconds: float, as_json: bool) -> None:
    database = open_or_create_ledger(settings)
    try:
        waiter = JobWaiter(database, request, after=dead_letters.newest_number(database))
        if not as_json and (ended := waiter.ended_before()) is not None:
            remark(_ended_before(ended, database.now()))
        send(settings, body)
        job = waiter.until_ended(timeout_seconds, quiet=as_json, embedded=settings.embedded)
        deliveries = deliveries_of(database, job.id)
    finally:
        database.close()
    if as_json:
        print_json(job_view(job, deliveries))
        if job.error is not None:
            raise typer.Exit(1)
        return
    if job.error is not None:
        raise error_for(job.error["code"], job.error["message"], step=job.error.get("step"))
    show(headline(job))
    show_outcome(job, settings)
