"""The request file that a command takes as argument."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.console import stop

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
