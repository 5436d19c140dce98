"""Times, sizes and states, formatted for people."""

from __future__ import annotations

import datetime as dt
from typing import Any

from rich.text import Text

_DOORS = {
    "inbox": "the inbox folder",
    "amqp": "RabbitMQ",
    "sqs": "SQS",
    "cli": "the command line",
    "replay": "a replay of dead letters",
}

_STATE_STYLES = {
    "received": "blue",
    "running": "cyan",
    "storing": "cyan",
    "waiting": "yellow",
    "completed": "green",
    "failed": "bold red",
    "cancelled": "magenta",
    "expired": "red",
    "pending": "blue",
    "retrying": "yellow",
    "delivered": "green",
    "disabled": "magenta",
    "exhausted": "bold red",
    "ok": "green",
    "warn": "yellow",
    "fail": "bold red",
}


def styled_state(word: str) -> Text:
    """Return the state in its colour."""
    return Text(word, style=_STATE_STYLES.get(word, ""))


def duration(seconds: float) -> str:
    """Format a time span: ``0.42 s``, ``12.3 s``, ``3 min 12 s``, ``2 h 5 min``, ``3 d 4 h``."""
    seconds = max(0.0, seconds)
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, below, lesser in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            count, rest = divmod(whole, unit)
            return f"{count} {name} {rest // below} {lesser}"
    return f"{whole} s"


def dollars(amount: str | None) -> str:
    """Return an amount of US dollars; ``unknown`` if its price is not set."""
    return "unknown" if amount is None else f"${amount}"


def ago(seconds: float) -> str:
    """Format an age: ``5 s ago``, ``3 min ago``, ``2 h ago``, ``4 d ago``."""
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name} ago"
    return f"{max(0, int(seconds))} s ago"


def size(count: int) -> str:
    """Format a size in decimal units: ``512 bytes``, ``5.2 MB``."""
    if count < 1000:
        return f"{count} bytes"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.95 or unit == "TB":
            break
    return f"{value:.1f} {unit}"


def local_time(seconds: float) -> str:
    """Format a Unix time in the machine's time zone, with the zone."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def count(number: int, noun: str) -> str:
    """Format a number with its noun: ``1 job``, ``2 jobs``, ``2 crashes``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {_plural(noun)}"


def _plural(noun: str) -> str:
    return f"{noun}es" if noun.endswith(("sh", "s", "x")) else f"{noun}s"


def door_name(door: object) -> str:
    """Return the name of a door as people know it."""
    return _DOORS.get(str(door), str(door)) if door else "an unknown door"


def format_seconds(value: Any) -> str:
    """Format a time span; a value that is not a number is returned as text."""
    return duration(float(value)) if isinstance(value, int | float) else str(value)


def format_size(value: Any) -> str:
    """Format a size; a value that is not an integer is returned as text."""
    return size(value) if isinstance(value, int) else str(value)


def comma_list(names: Any) -> str:
    """Join names with commas; return an empty string for a value that is not a list."""
    return ", ".join(map(str, names)) if isinstance(names, list) else ""
