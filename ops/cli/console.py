"""Output for people and, with ``--json``, for programs. Results go to stdout, all other messages to stderr."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from consumer.logs import TERMINAL_CONTROLS
from ops.cli.tables import FittingTable
from schemas.errors import TelecineError


class SafeConsole(Console):
    """A console that prints terminal control characters as escapes instead of sending them to the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(segment.text.translate(TERMINAL_CONTROLS), segment.style)


out = SafeConsole(highlight=False)
err = SafeConsole(stderr=True, highlight=False)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

#: Piped output is never wrapped or cut, because programs read it.
_PIPE_WIDTH = 10_000


class Stopped(Exception):
    """Ends the command with a message for the user; not an error of the program."""

    def __init__(self, message: str, *, code: str, status: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status


def stop(message: str, *, code: str, status: int = 1) -> NoReturn:
    """End the command with a message on stderr and an exit status."""
    raise Stopped(message, code=code, status=status)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    out.print(json.dumps(value, indent=2, ensure_ascii=False, default=str), soft_wrap=True, markup=False)


def show(renderable: RenderableType) -> None:
    """Print on stdout, wrapped to the terminal's width; in a pipe lines are never wrapped."""
    if out.is_terminal:
        out.print(renderable)
    elif isinstance(renderable, Table):
        text = io.StringIO()
        Console(file=text, width=_PIPE_WIDTH, highlight=False, no_color=True).print(renderable)
        for line in text.getvalue().splitlines():
            out.print(line.rstrip(), soft_wrap=True, markup=False)
    else:
        out.print(renderable, soft_wrap=True)


def say(sentence: str) -> None:
    """Print a sentence on stdout, wrapped between words on a terminal."""
    out.print(sentence, markup=False, soft_wrap=not out.is_terminal)


def print_line(word: str) -> None:
    """Print one line on stdout that is never wrapped, such as an id."""
    out.print(word, markup=False, soft_wrap=True)


def remark(sentence: str) -> None:
    """Print a remark on stderr."""
    err.print(sentence, style="dim", soft_wrap=not err.is_terminal, markup=False)


def table(
    *columns: str,
    right: tuple[str, ...] = (),
    whole: tuple[str, ...] = (),
    cut: tuple[str, ...] = (),
    drop: tuple[str, ...] = (),
) -> FittingTable:
    """Return a table without borders.

    ``right`` columns are right-aligned and ``whole`` ones are never wrapped. On a terminal that is too narrow, ``cut``
    ones end in an ellipsis instead of being wrapped, and ``drop`` ones are left out, the first one first.
    """
    grid = FittingTable(drop=drop)
    for name in columns:
        grid.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=name in (*whole, *cut),
            overflow="ellipsis" if name in cut else "fold",
        )
    return grid


def fail(error: TelecineError, *, as_json: bool = False, place: str = "") -> None:
    """Print an error on stderr: its code and message, or the JSON object that callbacks carry.

    Several invalid fields are printed one per line. ``place`` is the file and line that the error is about.
    """
    if as_json:
        err.print(json.dumps({"error": error.as_record()}, ensure_ascii=False), soft_wrap=True, markup=False)
        return
    err.print("[bold red]error[/]", end=" ")
    if place:
        err.print(place, end="  ", markup=False)
    err.print(f"[bold]{error.code}[/]", end="  ")
    if len(error.fields) < 2:
        err.print(error.message, markup=False, soft_wrap=not err.is_terminal)
        return
    from schemas.field_problems import MOST_FIELDS

    count = len(error.fields)
    err.print(f"the first {count} invalid fields:" if count == MOST_FIELDS else f"{count} invalid fields:")
    for field in error.fields:
        err.print(
            f"  {field.path}: {field.message}" if field.path else f"  {field.message}",
            markup=False,
            soft_wrap=not err.is_terminal,
        )


def report_stop(stopped: Stopped, *, as_json: bool = False) -> None:
    """Print the message of a ``Stopped`` on stderr."""
    if as_json:
        record = {"error": {"code": stopped.code, "message": stopped.message}}
        err.print(json.dumps(record, ensure_ascii=False), soft_wrap=True, markup=False)
    else:
        err.print(stopped.message, markup=False, soft_wrap=not err.is_terminal)
