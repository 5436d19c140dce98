"""Amounts of money, which are integers in millionths of a US dollar."""

from __future__ import annotations


def format_micros(micros: int) -> str:
    """Format an amount in dollars, with at least two decimals and no trailing zeros after them."""
    whole, fraction = divmod(micros, 1_000_000)
    digits = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{digits}"
