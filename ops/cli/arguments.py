"""Arguments that several commands share: request files and comma-separated names."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.console import stop
from schemas.errors import ConfigurationError, InvalidField
from schemas.nearest import did_you_mean

_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

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


def parse_since(text: str, now: float, *, option: str = "--since") -> float:
    """Return the Unix time that a duration before ``now`` (90s, 30m, 2h, 7d) or an RFC 3339 time means.

    A time without an offset is UTC.

    Raises:
        InvalidField: If the text is neither.
    """
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip()):
        return now - float(match[1]) * _UNIT_SECONDS[match[2]]
    try:
        moment = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidField(
            f"{option}: {text!r} is neither a duration such as 30m, 2h or 7d nor a time such as 2026-11-30T06:00Z"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()


def no_match(noun: str, code: str | None, there: Callable[[], Iterable[str]]) -> str:
    """Return the sentence about a filter that nothing matches; with an error code, the codes ``there`` are instead."""
    codes = [] if code is None else sorted({other for other in there() if other})
    if code is None or code in codes or not codes:
        return f"No {noun} matches."
    return f"No {noun} matches{did_you_mean(code, codes)}. The codes there are: {', '.join(codes)}."


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
