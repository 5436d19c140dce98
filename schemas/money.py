"""Amounts of money, which are integers in millionths of a US dollar."""

from __future__ import annotations

from collections.abc import Mapping


def format_micros(micros: int) -> str:
    """Format an amount in dollars, with at least two decimals and no trailing zeros after them."""
    whole, fraction = divmod(micros, 1_000_000)
    digits = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{digits}"


def cost_text(cost: Mapping[str, str]) -> str:
    """Return a cost, as in plans and callbacks, for people."""
    return f"{cost['amount']} {cost['currency']}" if "amount" in cost else "unknown"
