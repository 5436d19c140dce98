"""Arguments that several commands share: request files and comma-separated names."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.console import stop
from schemas.errors import ConfigurationError

FileArgument = Annotated[
    str, typer.Argument(metavar="FILE|-", help="A file with one JSON request, or - for standard input.")
]


def read_request(file: str) -> bytes:
    """Return the bytes of the file or of standard input; end the command if they cannot be read."""
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        stop(f"{file} cannot be read: {error.strerror}.", code="file_not_readable")


def parse_names(text: str, known: Sequence[str], noun: str) -> list[str]:
    """Parse comma-separated names and return each once.

    Raises:
        ConfigurationError: If a name is not in ``known``, or ``text`` contains no name.
    """
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = sorted(set(names) - set(known))
    if unknown or not names:
        raise ConfigurationError(f"unknown {noun} {', '.join(unknown) or repr(text)}; available: {', '.join(known)}")
    return names
