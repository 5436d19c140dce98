"""``telecine dead-letters replay``: the same bytes before the same door, after what was wrong has been put right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from consumer.execution.sweep import Waker
from consumer.ledger import dead_letters
from consumer.runtime import build_runtime
from ops.cli.console import JsonOption, print_json, remark, show, stop
from ops.cli.dead_letters import known_letter
from ops.cli.opening import missing_ledger, opened_ledger, read_settings
from ops.replay import Replay, Replayed

_STYLES = {"refused": "bold red", "admitted": "green", "duplicate": "yellow", "cancelled": "magenta", "dropped": "dim"}


def replay(
    numbers: Annotated[list[int] | None, typer.Argument(metavar="N...", help="Numbers of dead letters.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every dead letter that was not replayed yet.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put refused messages before the door again. What is refused again stays a dead letter."""
    if bool(numbers) == all_:
        stop("Name the dead letters to replay, or say --all.", code="invalid_field", status=2)
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


def _replayed(numbers: Sequence[int]) -> list[Replayed]:
    """What became of the letters with these numbers; of all when there is none."""
    settings = read_settings()
    if missing_ledger(settings) is not None:
        with opened_ledger(settings) as empty:
            for number in numbers:
                known_letter(empty, number)
        return []
    runtime = build_runtime(settings)
    try:
        letters = [known_letter(runtime.database, number) for number in numbers or dead_letters.pending(runtime.database)]
        act = Replay(
            runtime.database, runtime.checks, None if settings.embedded else _wake_ups(), expansion=runtime.expansion
        )
        return [act(letter) for letter in letters]
    finally:
        runtime.close()


def _wake_ups() -> Waker:
    """Wake-ups through the broker. In embedded mode the sweep of the running ``telecine up`` finds the jobs."""
    from consumer.app import app
    from consumer.wakeups.send import WakeUps

    return WakeUps(app)


def _view(item: Replayed) -> dict[str, Any]:
    error = None if item.refused is None else item.refused.as_record()
    return {"number": item.number, "result": item.result, "job_id": item.job_id, "error": error}


def _line(item: Replayed) -> Text:
    told = {
        "admitted": f"became job {item.job_id}",
        "duplicate": f"job {item.job_id} has the same content: it was absorbed",
        "cancelled": f"cancels job {item.job_id}",
        "dropped": "asks for nothing by now: no trigger rule covers it, its pair waits for a part, or it is a result",
    }.get(item.result, "")
    if item.refused is not None:
        told = f"{item.refused.code}: {item.refused.message}"
    return Text.assemble(f"{item.number}  ", (item.result, _STYLES[item.result]), f"  {told}")
