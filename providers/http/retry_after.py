"""Parse the ``Retry-After`` header (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: Limit for the wait that a server may ask for: one day.
MAX_RETRY_AFTER_SECONDS = 86_400.0
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


def parse_retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, from 0 to 86,400.

    The value is a number of seconds in ASCII digits, or an HTTP date. Fractions are not in the RFC, but some providers
    send them. Anything else counts as missing.

    Args:
        header: the header's value; ``None`` if it is missing.
        now: the current time with its zone, for a date; the system's by default.

    Returns:
        The seconds, or ``None`` if the header is missing or not valid.
    """
    text = (header or "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), MAX_RETRY_AFTER_SECONDS)
    try:
        date = parsedate_to_datetime(text)
        # HTTP dates are UTC, even if the zone is missing.
        seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - (now or datetime.now(UTC))).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
