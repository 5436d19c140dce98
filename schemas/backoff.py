"""Exponential backoff."""

from __future__ import annotations

#: The longest wait while a part of this installation is unavailable.
MAX_OUTAGE_SECONDS = 300.0
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


def outage_wait(waited: float, base: float) -> float:
    """Return the seconds until the next try during an outage: a quarter of the time ``waited`` so far.

    At least ``base`` and at most ``MAX_OUTAGE_SECONDS``. It grows like a backoff without a count of the tries.
    """
    return min(MAX_OUTAGE_SECONDS, max(base, waited / 4))
