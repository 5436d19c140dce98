"""``telecine dead-letters replay``: admit dead letters again, after the cause has been corrected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from consumer.ledger import dead_letters
from ops.checks.paths import missing_ledger
from ops.cli.console import JsonOption, print_json, remark, show, stop
from ops.cli.opening import opened_ledger, read_settings, require_dead_letter
from ops.cli.operator import operator_name

if TYPE_CHECKING:
    from ops.dead_letter_replay import ReplayResult

_STYLES = {"refused": "bold red", "admitted": "green", "duplicate": "yellow", "cancelled": "magenta", "dropped": "dim"}


def replay(
    numbers: Annotated[list[int] | None, typer.Argument(metavar="N...", help="Numbers of dead letters.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every dead letter that was not replayed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Try to admit dead letters again. A message that is refused again stays a dead letter."""
    if bool(numbers) == all_:
        stop("Give the numbers of the dead letters to replay, or --all.", code="invalid_field", status=2)
    results = _replayed(numbers or [])
    if as_json:
        print_json([_view(item) for item in results])
    elif not results:
        remark("No dead letters.")
    else:
        for item in results:
            show(_line(item))
    if any(item.refused is not None for item in results):
        raise typer.Exit(1)


def _replayed(numbers: Sequence[int]) -> list[ReplayResult]:
    """Replay the dead letters with these numbers, or all if there are no numbers."""
    settings = read_settings()
    if missing_ledger(settings) is not None:
        with opened_ledger(settings) as empty:
            for number in numbers:
                require_dead_letter(empty, number)
        return []
    from consumer.wiring import build_runtime
    from ops.dead_letter_replay import dead_letter_replay

    runtime = build_runtime(settings)
    try:
        pending = numbers or dead_letters.pending_numbers(runtime.database)
        letters = [require_dead_letter(runtime.database, number) for number in pending]
        act = dead_letter_replay(runtime, by=operator_name())
        return [act(letter) for letter in letters]
    finally:
        runtime.close()


def _view(item: ReplayResult) -> dict[str, Any]:
    error = None if item.refused is None else item.refused.as_record()
    return {"number": item.number, "result": item.result, "job_id": item.job_id, "error": error}


def _line(item: ReplayResult) -> Text:
    explanation = {
        "admitted": f"became job {item.job_id}",
        "duplicate": f"job {item.job_id} has the same content: absorbed",
        "cancelled": f"cancels job {item.job_id}",
        "dropped": "no request results: no trigger rule matches, its pair is incomplete, or the object is a result",
    }.get(item.result, "")
    if item.refused is not None:
        explanation = f"{item.refused.code}: {item.refused.message}"
    return Text.assemble(f"{item.number}  ", (item.result, _STYLES[item.result]), f"  {explanation}")
