"""The words that the sentences of a story share."""

from __future__ import annotations

from typing import Any

from ops.wording import duration, size

_DOORS = {
    "inbox": "the inbox folder",
    "amqp": "RabbitMQ",
    "sqs": "SQS",
    "cli": "the command line",
    "replay": "a replay of dead letters",
}


def door_name(door: object) -> str:
    """The door, for people."""
    return _DOORS.get(str(door), str(door)) if door else "an unknown door"


def seconds_text(value: Any) -> str:
    """A time span; whatever is no number is told as it is."""
    return duration(float(value)) if isinstance(value, int | float) else str(value)


def plain_size(value: Any) -> str:
    """A size; whatever is no number is told as it is."""
    return size(value) if isinstance(value, int) else str(value)


def listing(names: Any) -> str:
    """Names with commas; nothing for what is no list."""
    return ", ".join(map(str, names)) if isinstance(names, list) else ""


def ended(sentence: str) -> str:
    """The sentence with one full stop."""
    return sentence.rstrip(". ") + "."
