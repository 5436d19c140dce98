"""``telecine dead-letters dismiss``: delete dead letters that need no more attention."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.ledger import dead_letters
from consumer.ledger.deletion import delete_dead_letters
from consumer.ledger.queries import count_dead_letters
from ops.cli.arguments import no_match
from ops.cli.console import JsonOption, print_json, remark, say, stop
from ops.cli.opening import opened_ledger, read_settings, require_dead_letter
from ops.formatting import count

#: Dead letters deleted in one transaction.
_BATCH = 500


def dismiss(
    numbers: Annotated[list[int] | None, typer.Argument(metavar="[N]...", help="Their numbers.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Dismiss all that were not replayed.")] = False,
    code: Annotated[str | None, typer.Option(help="Dismiss all with this code that were not replayed.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Delete dead letters permanently, with their bytes. They can no longer be replayed.

    RabbitMQ keeps a copy in the queue's dead-letter queue until that is purged.
    """
    if bool(numbers) + all_ + (code is not None) != 1:
        stop("Name the dead letters to dismiss: either their numbers, --all or --code.", code="usage", status=2)
    with opened_ledger(read_settings()) as database:
        for number in numbers or ():
            require_dead_letter(database, number)
        chosen = list(numbers) if numbers else dead_letters.pending_numbers(database, code=code)
        deleted = sum(
            delete_dead_letters(database, chosen[start : start + _BATCH]) for start in range(0, len(chosen), _BATCH)
        )
        nothing = "" if chosen or code is None else no_match("dead letter", code, lambda: count_dead_letters(database))
    if as_json:
        print_json({"dismissed": deleted, "numbers": chosen})
    elif nothing:
        remark(nothing)
    else:
        say(f"Dismissed {count(deleted, 'dead letter')}.")
