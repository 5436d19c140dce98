"""The messages that `telecine submit` sends: read from files and standard input, and checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.cli.arguments import read_request
from ops.cli.console import Stopped
from schemas.envelope import Cancellation, Request
from schemas.errors import ConfigurationError, InvalidField, TelecineError
from schemas.parse import parse_request
from schemas.settings import Settings
from schemas.strict_json import fingerprint

_LINES_SUFFIXES = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Message:
    """One message, with what is wrong with it."""

    #: The file, and the line of JSON lines.
    place: str
    body: bytes
    request: Request | Cancellation | None = None
    error: TelecineError | None = None


def read_messages(files: Sequence[str], settings: Settings) -> list[Message]:
    """Read and check every message of the files, in order. An invalid one has its error."""
    check = _checker(settings)
    seen: dict[str, tuple[str, str]] = {}
    return [
        _checked(place, body, check, seen, settings.max_message_bytes)
        for file in files
        for place, body in _bodies(file, several=len(files) > 1)
    ]


def _bodies(file: str, *, several: bool) -> Iterator[tuple[str, bytes | TelecineError]]:
    try:
        content = read_request(file)
    except Stopped as stopped:
        if not several:
            raise
        yield file, ConfigurationError(stopped.message)
        return
    name = "standard input" if file == "-" else file
    if not _is_lines(name, content):
        yield name, content
        return
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            yield f"{name}:{number}", line


def _is_lines(name: str, content: bytes) -> bool:
    """Return whether the content is JSON lines: by its name, or because its first line is a whole JSON document."""
    if Path(name).suffix.lower() in _LINES_SUFFIXES:
        return True
    first, _, rest = content.strip().partition(b"\n")
    if not rest.strip():
        return False
    try:
        json.loads(first)
    except ValueError:
        return False
    return True


def _checker(settings: Settings) -> Callable[[Request | Cancellation], None]:
    """Return the check of the doors, if their settings are likely to be those of this machine.

    A producer's machine may know only the broker: then the doors check alone.
    """
    if not settings.embedded and not settings.callback_secrets:
        return lambda request: None
    from consumer.admission.rules import producer_policy

    policy = producer_policy(settings)

    def check(request: Request | Cancellation) -> None:
        if isinstance(request, Cancellation):
            policy.check_cancellation(request, settings.own_queue)
        else:
            policy.check(request, settings.own_queue)

    return check


def _checked(
    place: str,
    body: bytes | TelecineError,
    check: Callable[[Request | Cancellation], None],
    seen: dict[str, tuple[str, str]],
    limit_bytes: int,
) -> Message:
    if isinstance(body, TelecineError):
        return Message(place, b"", error=body)
    try:
        request = parse_request(body, limit_bytes=limit_bytes)
        check(request)
        if isinstance(request, Request):
            _check_unique(request, place, seen)
    except TelecineError as error:
        return Message(place, body, error=error)
    return Message(place, body, request)


def _check_unique(request: Request, place: str, seen: dict[str, tuple[str, str]]) -> None:
    """Check that no other request of this batch has the same id: it would become a dead letter."""
    same = fingerprint(request.identity())
    before = seen.setdefault(request.id, (same, place))
    if before[0] != same:
        raise InvalidField(f"id: {request.id} is the id of another request, {before[1]}", field="id")
