"""The figures of ``tests.bench.messages`` for people: on the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

_STRETCHES = {
    "total": "publish to receipt",
    "door": "publish to ledger",
    "wake_up": "ledger to worker",
    "work": "claim to finish",
    "callback": "finish to receipt",
}


def rate_rows(figures: Mapping[str, Any]) -> list[list[str]]:
    """Return name, median, least and most, and the ratio to Telecine on SQLite."""
    rates = figures["messages_per_second"]
    own = rates.get("Telecine, SQLite", {}).get("median")
    return [
        [
            name,
            f"{each['median']:,.0f}",
            f"{each['least']:,.0f} to {each['most']:,.0f}",
            f"{each['median'] / own:.2f}" if own else "",
        ]
        for name, each in rates.items()
    ]


def stretch_rows(figures: Mapping[str, Any]) -> list[list[str]]:
    """Return ledger, stretch, p50 and p99 in milliseconds."""
    return [
        [name, words, f"{found[stretch]['p50_ms']:.0f}", f"{found[stretch]['p99_ms']:.0f}"]
        for name, found in figures["milliseconds_to_callback"].items()
        for stretch, words in _STRETCHES.items()
    ]


_RATES = ("way", "messages/s", "least to most", "/ Telecine, SQLite")
_OVERHEAD = ("ledger", "stretch", "p50 ms", "p99 ms")


def rates_table(figures: Mapping[str, Any]) -> Table:
    """Return messages per second as a table for the terminal."""
    return _table("Plain JSON in RabbitMQ to a finished no-op", _RATES, rate_rows(figures), words=1)


def stretches_table(figures: Mapping[str, Any]) -> Table:
    """Return the way to the callback as a table for the terminal."""
    title = f"From publish to callback, {figures['callbacks']} jobs at 20 a second"
    return _table(title, _OVERHEAD, stretch_rows(figures), words=2)


def markdown(figures: Mapping[str, Any]) -> str:
    """Return both tables as Markdown."""
    parts = [_markdown(_RATES, rate_rows(figures), words=1)]
    if figures["milliseconds_to_callback"]:
        parts.append(_markdown(_OVERHEAD, stretch_rows(figures), words=2))
    return "\n\n".join(parts) + "\n"


def _table(title: str, names: tuple[str, ...], rows: list[list[str]], *, words: int) -> Table:
    table = Table(title=title)
    for number, name in enumerate(names):
        table.add_column(name, justify="left" if number < words else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _markdown(names: tuple[str, ...], rows: list[list[str]], *, words: int) -> str:
    head = [f"| {' | '.join(names)} |", "|" + "---|" * words + "---:|" * (len(names) - words)]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])
