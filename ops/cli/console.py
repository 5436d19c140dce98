"""Output for people and, with ``--json``, for programs."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from schemas.errors import TelecineError

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    out.print(json.dumps(value, indent=2, ensure_ascii=False, default=str), soft_wrap=True, markup=False)


def fail(error: TelecineError) -> None:
    """The error for a person: its code, its message."""
    err.print(f"[bold red]error[/] [bold]{error.code}[/]", end=" ")
    err.print(error.message, markup=False)
