"""``telecine dead-letters``: messages that could not become a job."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from consumer.ledger import dead_letters
from consumer.ledger.records import DeadLetter
from consumer.logs import scrub
from ops.cli.console import JsonOption, out, print_json, remark, show, stop, table
from ops.cli.dead_letters_dismiss import dismiss
from ops.cli.dead_letters_replay import replay
from ops.cli.opening import opened_ledger, read_settings, require_dead_letter
from ops.formatting import ago, count, door_name, local_time, size
from ops.views import dead_letter_view, iso

#: Length of a hex dump.
_SHOWN_BYTES = 512

Number = Annotated[int, typer.Argument(metavar="N", help="The dead letter's number.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        no_args_is_help=True, help="Messages that could not become a job: list, show, replay, dismiss, recover."
    )
    group.command("list")(list_)
    group.command("show")(show_)
    group.command("replay")(replay)
    group.command("dismiss")(dismiss)
    group.command("recover")(recover)
    app.add_typer(group, name="dead-letters")


def list_(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Maximum number of dead letters to list.")] = 20,
    all_: Annotated[bool, typer.Option("--all", help="Include those that were replayed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, newest first."""
    with opened_ledger(read_settings()) as database:
        letters = dead_letters.list_newest(database, limit=limit, pending_only=not all_)
        now = database.now()
    if as_json:
        print_json([dead_letter_view(letter) for letter in letters])
    elif not letters:
        remark("No dead letters.")
    else:
        show(_table(letters, now))


def show_(
    number: Number,
    raw: Annotated[bool, typer.Option("--raw", help="Write only the original bytes, to stdout.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter: its error, its origin and its original bytes."""
    with opened_ledger(read_settings()) as database:
        letter = require_dead_letter(database, number)
    if raw:
        sys.stdout.buffer.write(letter.body)
        sys.stdout.buffer.flush()
        return
    text = _readable(letter.body)
    if as_json:
        print_json(dead_letter_view(letter) | ({"body": text} if text is not None else {"body_hex": letter.body.hex()}))
        return
    show(_facts(letter))
    out.print()
    show(Text(text if text is not None else _hexdump(letter.body)))


def recover(as_json: JsonOption = False) -> None:
    """Return messages to their queue that RabbitMQ dead-lettered after too many deliveries.

    Messages that Telecine refused stay in the dead-letter queue.
    """
    from consumer.doors.amqp_dead_letters import recover as recovered

    settings = read_settings()
    if settings.amqp_url is None or not settings.amqp_queues:
        stop(
            "No RabbitMQ queue is configured; set TELECINE_BROKER_URL and TELECINE_AMQP_QUEUES.",
            code="configuration",
        )
    try:
        found = [
            recovered(settings.amqp_url, queue, delivery_limit=settings.amqp_delivery_limit)
            for queue in settings.amqp_queues
        ]
    except Exception as error:
        reason = f"{type(error).__name__}: {scrub(str(error))}"[:200]
        stop(
            f"RabbitMQ does not answer: {reason}. Messages that were not returned are still in the dead-letter queue.",
            code="broker_unavailable",
        )
    if as_json:
        print_json([dataclasses.asdict(item) for item in found])
        return
    for item in found:
        show(f"{item.queue}  {count(item.returned, 'message')} returned, {item.kept} refused ones kept")
    if not any(item.returned for item in found):
        remark("The broker has not given up on any message.")


def _table(letters: Sequence[DeadLetter], now: float) -> Table:
    made = table(
        "N",
        "WHEN",
        "FROM",
        "ID",
        "CODE",
        "REASON",
        right=("N",),
        whole=("N", "WHEN", "CODE"),
        drop=("FROM", "WHEN", "ID"),
    )
    for letter in letters:
        reason = letter.message + ("" if letter.replayed_at is None else "  (replayed)")
        made.add_row(
            str(letter.seq),
            ago(now - letter.at),
            letter.source or letter.door,
            letter.request_id or "",
            Text(letter.code, style="red" if letter.replayed_at is None else "dim"),
            Text(reason),
        )
    return made


def _facts(letter: DeadLetter) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("dead letter", Text(str(letter.seq), style="bold"))
    place = f", {letter.source}" if letter.source and letter.source != letter.door else ""
    grid.add_row("refused", f"{local_time(letter.at)}, from {door_name(letter.door)}{place}")
    grid.add_row("reason", Text.assemble((letter.code, "bold red"), f"  {letter.message}"))
    if letter.request_id:
        grid.add_row("id", letter.request_id)
    for name, value in letter.headers.items():
        grid.add_row("header", Text(f"{name}: {value}"))
    if letter.replayed_at is not None:
        grid.add_row("replayed", iso(letter.replayed_at))
    grid.add_row("message", size(len(letter.body)))
    return grid


def _readable(body: bytes) -> str | None:
    """Return the text, or ``None`` if it is not UTF-8 or contains terminal control characters."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\n\t\r" for c in text) else None


def _hexdump(body: bytes, *, limit: int = _SHOWN_BYTES) -> str:
    """Format bytes, sixteen per line: offset, hexadecimal, and printable ASCII."""
    lines = []
    for start in range(0, min(len(body), limit), 16):
        row = body[start : start + 16]
        plain = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):47}  {plain}")
    if len(body) > limit:
        lines.append(f"… {len(body) - limit:,} more bytes; --raw writes all of them")
    return "\n".join(lines)
