"""Formatting shared by the sentences of a timeline."""

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
    """Return the name of a door as people know it."""
    return _DOORS.get(str(door), str(door)) if door else "an unknown door"


def seconds_text(value: Any) -> str:
    """Format a time span; a value that is not a number is returned as text."""
    return duration(float(value)) if isinstance(value, int | float) else str(value)


def plain_size(value: Any) -> str:
    """Format a size; a value that is not an integer is returned as text."""
    return size(value) if isinstance(value, int) else str(value)


def listing(names: Any) -> str:
    """Join names with commas; return an empty string for a value that is not a list."""
    return ", ".join(map(str, names)) if isinstance(names, list) else ""


def ended(sentence: str) -> str:
    """Return the sentence with exactly one full stop."""
    return sentence.rstrip(". ") + "."
