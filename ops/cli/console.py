"""Output for people and, with ``--json``, for programs. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from schemas.errors import TelecineError

#: What could command a terminal, or show a text in another order than it has: keys and prompts hold whatever
#: their producers like. A line break and a tab are harmless.
_COMMANDS = {
    code: f"\\u{code:04x}"  # which JSON reads, too
    for code in (
        *range(0x09),
        *range(0x0B, 0x20),
        *range(0x7F, 0xA0),
        0x200E,
        0x200F,
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    )
}


class SafeConsole(Console):
    """Shows control characters as escapes instead of sending them to the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(segment.text.translate(_COMMANDS), segment.style)


out = SafeConsole(highlight=False)
err = SafeConsole(stderr=True, highlight=False)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]

#: Piped output is never folded or cut: a program reads it.
_PIPE_WIDTH = 10_000


class Stopped(Exception):
    """The command ends here with a plain sentence; nothing is wrong with the program."""

    def __init__(self, message: str, *, code: str, status: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status


def stop(message: str, *, code: str, status: int = 1) -> NoReturn:
    """Ends the command with a sentence on stderr and an exit status."""
    raise Stopped(message, code=code, status=status)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    out.print(json.dumps(value, indent=2, ensure_ascii=False, default=str), soft_wrap=True, markup=False)


def show(renderable: RenderableType) -> None:
    """Something for people on stdout: folded to the terminal's width, or left whole in a pipe."""
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
    """A sentence on stdout, folded between words on a terminal."""
    out.print(sentence, markup=False, soft_wrap=not out.is_terminal)


def remark(sentence: str) -> None:
    """A sentence beside the result, on stderr."""
    err.print(sentence, style="dim", soft_wrap=not err.is_terminal, markup=False)


def table(*columns: str, right: tuple[str, ...] = (), whole: tuple[str, ...] = ()) -> Table:
    """A plain table. ``right`` columns are aligned to the right, ``whole`` ones are never folded."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", no_wrap=name in whole, overflow="fold")
    return made


def fail(error: TelecineError, *, as_json: bool = False) -> None:
    """The error on stderr: its code and its message, or the record that callbacks carry."""
    if as_json:
        err.print(json.dumps({"error": error.as_record()}, ensure_ascii=False), soft_wrap=True, markup=False)
        return
    err.print(f"[bold red]error[/] [bold]{error.code}[/]", end="  ")
    err.print(error.message, markup=False, soft_wrap=not err.is_terminal)


def report_stop(stopped: Stopped, *, as_json: bool = False) -> None:
    """The sentence on stderr."""
    if as_json:
        record = {"error": {"code": stopped.code, "message": stopped.message}}
        err.print(json.dumps(record, ensure_ascii=False), soft_wrap=True, markup=False)
    else:
        err.print(stopped.message, markup=False, soft_wrap=not err.is_terminal)
