"""``telecine submit``: send a request to a queue or the inbox."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.doors.inbox import drop
from consumer.ledger import dead_letters
from consumer.ledger.queries import deliveries_of
from consumer.logs import scrub
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
    send(settings, body)
    if as_json:
        print_json({"job_id": request.id, "sent": "cancel" if isinstance(request, Cancel) else "request"})
    else:
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


def _send_and_wait(settings: Settings, body: bytes, request: Request, timeout_seconds: float, as_json: bool) -> None:
    database = open_or_create_ledger(settings)
    try:
        waiter = JobWaiter(database, request, after=dead_letters.newest_number(database))
        if not as_json and (ended := waiter.ended_before()) is not None:
            when = ago(database.now() - (ended.finished_at or 0))
            remark(
                f"{ended.id} already {ended.state.value} {when}, and the same request is not run again; use a new id."
            )
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
