"""``telecine dead-letters``: messages that could not become a job."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from consumer.ledger import dead_letters
from consumer.ledger.database import Database
from consumer.ledger.records import Rejection
from ops.cli.console import JsonOption, out, print_json, remark, show, stop, table
from ops.cli.hexdump import hexdump, readable
from ops.cli.opening import opened_ledger, read_settings
from ops.story_words import door_name
from ops.views import dead_letter_view, iso
from ops.wording import ago, local_time, size

Number = Annotated[int, typer.Argument(metavar="N", help="The dead letter's number.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    from ops.cli.dead_letters_recover import recover
    from ops.cli.dead_letters_replay import replay

    group = typer.Typer(no_args_is_help=True, help="Messages that could not become a job: list, show, replay, recover.")
    group.command("list")(list_)
    group.command("show")(show_)
    group.command("replay")(replay)
    group.command("recover")(recover)
    app.add_typer(group, name="dead-letters")


def list_(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Maximum number of dead letters to list.")] = 20,
    all_: Annotated[bool, typer.Option("--all", help="Include those that were replayed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, newest first."""
    with opened_ledger(read_settings()) as database:
        letters = dead_letters.listed(database, limit=limit, pending_only=not all_)
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
        letter = known_letter(database, number)
    if raw:
        sys.stdout.buffer.write(letter.body)
        sys.stdout.buffer.flush()
        return
    text = readable(letter.body)
    if as_json:
        print_json(dead_letter_view(letter) | ({"body": text} if text is not None else {"body_hex": letter.body.hex()}))
        return
    show(_facts(letter))
    out.print()
    show(Text(text if text is not None else hexdump(letter.body)))


def known_letter(database: Database, number: int) -> Rejection:
    """Return the dead letter with this number; end the command if it does not exist."""
    letter = dead_letters.find(database, number)
    if letter is None:
        stop(
            f"There is no dead letter {number}; `telecine dead-letters list` prints the existing ones.",
            code="dead_letter_not_found",
        )
    return letter


def _table(letters: Sequence[Rejection], now: float) -> Table:
    made = table("N", "WHEN", "FROM", "ID", "CODE", "REASON", right=("N",), whole=("N", "WHEN", "CODE"))
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


def _facts(letter: Rejection) -> Table:
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
