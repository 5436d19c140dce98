"""Output for people and, with ``--json``, for programs. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import io
import json
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.table import Table

from schemas.errors import TelecineError

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

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
