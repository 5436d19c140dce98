"""Exponential backoff."""

from __future__ import annotations

#: Larger exponents change nothing with any sensible cap, and would overflow a float in the end.
_MAX_EXPONENT = 64


def backoff(attempt: int, base: float, cap: float) -> float:
    """Return the seconds to wait: ``base * 2 ** attempt``, at most ``cap``.

    Args:
        attempt: counted from 0, so that the first wait is ``base``.
        base: the first wait in seconds.
        cap: the longest wait in seconds.
    """
    return float(min(cap, base * 2.0 ** min(attempt, _MAX_EXPONENT)))
