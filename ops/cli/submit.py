"""``telecine submit``: send requests to a queue or the inbox."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.console import JsonOption, fail, print_json, print_line, remark, say
from ops.cli.messages import Message, read_messages
from ops.cli.reading import read_settings
from ops.cli.sending import Sent, require_home, send
from ops.formatting import count
from schemas.envelope import Cancel, Request
from schemas.settings import Settings

# What opens the ledger is imported where it is used: sending alone takes a fraction of the time.


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
        from ops.cli.submit_job import send_and_wait

        send_and_wait(settings, message.body, request, timeout_seconds, as_json)
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
        from ops.cli.submit_waiting import wait_for_all

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
    """Return a sentence if the same request has ended before."""
    if not _may_have_job(settings.ledger, request.id):
        return None
    from ops.cli.submit_job import note_ended

    return note_ended(settings, request)


def _may_have_job(ledger: str, job_id: str) -> bool:
    """Return ``False`` if a SQLite ledger has no job of this id: found out without the code that reads ledgers."""
    if not ledger.startswith("sqlite:///"):
        return True
    path = Path(ledger.removeprefix("sqlite:///").partition("?")[0]).absolute()
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT 1 FROM jobs WHERE id = ?", [job_id]).fetchone() is not None
    except sqlite3.Error:
        return path.exists()
