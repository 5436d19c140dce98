"""``telecine submit``: send requests to a queue or the inbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from consumer.ledger import dead_letters
from consumer.ledger.database import Database
from consumer.ledger.queries import deliveries_of
from consumer.ledger.records import Job
from consumer.ledger.states import State
from ops.checks.paths import missing_ledger
from ops.cli.console import JsonOption, fail, print_json, print_line, remark, say, show
from ops.cli.job_waiter import JobWaiter
from ops.cli.messages import Message, read_messages
from ops.cli.opening import open_or_create_ledger, read_settings
from ops.cli.outputs import show_outcome
from ops.cli.sending import Sent, require_home, send
from ops.cli.status import headline
from ops.cli.submit_waiting import wait_for_all
from ops.formatting import ago, count
from ops.views import job_view
from schemas.envelope import Cancel, Request
from schemas.errors import error_for
from schemas.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("submit")(submit)


def submit(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...|-", help="Files with a JSON request or JSON lines, or - for standard input."),
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Show the progress and wait until every job has ended.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="With --wait: longest wait, in seconds.")] = 3600.0,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Send the valid requests although others are invalid.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check requests, send them and print their ids.

    They are checked like at the doors. If one is invalid, none is sent, except with --keep-going, and the exit status
    is 1.

    With --wait the exit status is 0 if every job completed, 1 if one ended otherwise, and 2 after the timeout.
    """
    settings = read_settings()
    messages = read_messages(files, settings)
    if len(messages) == 1:
        _submit_one(settings, messages[0], timeout if wait else None, as_json)
    else:
        _submit_all(settings, messages, timeout if wait else None, keep_going=keep_going, as_json=as_json)


def _submit_one(settings: Settings, message: Message, timeout_seconds: float | None, as_json: bool) -> None:
    request = message.request
    if request is None:
        assert message.error is not None
        raise message.error
    require_home(settings)
    if timeout_seconds is not None and isinstance(request, Request):
        _send_and_wait(settings, message.body, request, timeout_seconds, as_json)
        return
    ended = _note_ended(settings, request) if isinstance(request, Request) else None
    sent = send(settings, [message.body])
    if as_json:
        print_json(_sent_record(message) | _where(sent) | ({} if ended is None else {"message": ended}))
        return
    if ended is not None:
        remark(ended)
    say(request.id)
    remark(str(sent))


def _submit_all(
    settings: Settings, messages: Sequence[Message], timeout_seconds: float | None, *, keep_going: bool, as_json: bool
) -> None:
    invalid = [message for message in messages if message.error is not None]
    valid = [message for message in messages if message.error is None] if keep_going or not invalid else []
    errors = [{"place": message.place, "error": message.error.as_record()} for message in invalid if message.error]
    for message in invalid:
        if message.error is not None and not as_json:
            fail(message.error, place=message.place)
    if valid:
        require_home(settings)
    if valid and timeout_seconds is not None:
        wait_for_all(settings, valid, timeout_seconds, errors=errors, as_json=as_json)
        return
    sent = send(settings, [message.body for message in valid]) if valid else None
    if as_json:
        records = [_sent_record(message) | {"place": message.place} for message in valid]
        print_json({"sent": records, "errors": errors} | ({} if sent is None else _where(sent)))
    else:
        for message in valid:
            print_line(str(_sent_record(message)["job_id"]))
        remark(_summary(len(messages), len(invalid), sent))
    if invalid:
        raise typer.Exit(1)


def _summary(total: int, invalid: int, sent: Sent | None) -> str:
    if not total:
        return "There are no requests to send."
    if sent is None:
        return f"Nothing was sent: {invalid} of {count(total, 'request')} invalid. --keep-going sends the others."
    return f"{sent} {invalid} of {count(total, 'request')} invalid and not sent." if invalid else str(sent)


def _sent_record(message: Message) -> dict[str, object]:
    assert message.request is not None
    return {"job_id": message.request.id, "sent": "cancel" if isinstance(message.request, Cancel) else "request"}


def _where(sent: Sent) -> dict[str, object]:
    return {"sent_to": sent.place, "read": sent.read}


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
