"""``--watch``: a screen that is read again every two seconds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from ops.cli.console import out, print_json, remark, show

WATCH_SECONDS = 2.0

WatchOption = Annotated[
    bool,
    typer.Option(
        "--watch",
        help="Read it again every 2 seconds until Ctrl-C. Without a terminal, print it again after each change; "
        "with --json, one line each.",
    ),
]


@dataclass(frozen=True, slots=True)
class Screen:
    """What a command shows at one moment."""

    lines: Sequence[RenderableType]
    #: The same as JSON.
    record: Any
    #: Whether there is nothing more to watch.
    last: bool = False
    #: What has to differ to print it again without a terminal, if not the JSON: without ages and the like.
    change: Any = None
    #: A note about the screen, for stderr.
    remark: str = ""


def present(read: Callable[[], Screen], *, watch: bool, as_json: bool) -> Screen | None:
    """Show the screen once, or with ``watch`` until it is the last one or Ctrl-C is pressed. Return the last one."""
    if not watch:
        screen = read()
        if as_json:
            print_json(screen.record)
        else:
            _print(screen)
        return screen
    try:
        return _refresh(read) if out.is_terminal and not as_json else _follow(read, as_json=as_json)
    except KeyboardInterrupt:
        return None


def _refresh(read: Callable[[], Screen]) -> Screen:
    with Live(console=out, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            screen = read()
            notes = [screen.remark, "" if screen.last else "every 2 s; Ctrl-C ends"]
            dim = [Text(note, style="dim") for note in notes if note]
            live.update(Group(*screen.lines, *([Text("")] if dim else []), *dim), refresh=True)
            if screen.last:
                return screen
            time.sleep(WATCH_SECONDS)


def _follow(read: Callable[[], Screen], *, as_json: bool) -> Screen:
    before: object = _follow
    while True:
        screen = read()
        change = screen.record if screen.change is None else screen.change
        if change != before:
            if as_json:
                out.print(json.dumps(screen.record, ensure_ascii=False, default=str), soft_wrap=True, markup=False)
            else:
                _print(screen)
            out.file.flush()
        before = change
        if screen.last:
            return screen
        time.sleep(WATCH_SECONDS)


def _print(screen: Screen) -> None:
    for line in screen.lines:
        show(line)
    if screen.remark:
        remark(screen.remark)
