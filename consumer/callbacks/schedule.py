"""What happens to a callback after an attempt to deliver it: done, again later, never again.

Statuses and delays are those of Standard Webhooks 1.0.0, "Deliverability and reliability". Nothing here
reads a clock or a database, except for the time that an HTTP date in ``Retry-After`` is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from schemas.errors import AddressForbidden

#: Seconds from one attempt to the next: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
DELAYS_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: A delay grows by up to this part, so that callbacks which failed together do not return together.
JITTER = 0.1
#: The least wait after a reply that says the receiver is overloaded; or the schedule's next wait, if shorter.
THROTTLE_SECONDS = 60
#: The most that ``Retry-After`` can ask for.
MOST_RETRY_AFTER_SECONDS = 86_400

_OVERLOADED = frozenset({429, 502, 504})


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again, not before ``after_seconds`` from now."""

    after_seconds: float


@dataclass(frozen=True, slots=True)
class Disabled:
    """Never again: the receiver (``gone``) or the guard (``address_forbidden``) refuses this URL."""

    reason: str


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The last attempt failed. It can still be replayed by hand."""


AttemptOutcome = Delivered | Retry | Disabled | Exhausted


def next_attempt(
    attempt: int,
    status: int | None,
    retry_after: str | None = None,
    *,
    jitter: Callable[[], float],
    error: Exception | None = None,
    delays_seconds: Sequence[float] = DELAYS_SECONDS,
    delivered: Collection[int] = (),
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> AttemptOutcome:
    """The verdict on attempt number ``attempt``, counted from 1.

    Args:
        status: of the reply, or ``None`` when none came.
        retry_after: the reply's ``Retry-After`` header, as it was sent.
        jitter: a number from 0 to 1, such as ``random.random``.
        error: what the client raised instead of a reply.
        delays_seconds: the waits between attempts. The first attempt is made at once, so there is one more
            attempt than waits: ten by default, over a little more than three days.
        delivered: statuses besides 2xx that mean that the receiver has it.
        now: the current time, aware.
    """
    if isinstance(error, AddressForbidden):
        return Disabled(error.code)
    if status is not None and (200 <= status < 300 or status in delivered):
        return Delivered()
    if status == 410:
        return Disabled("gone")
    if attempt > len(delays_seconds):
        return Exhausted()
    delay = float(delays_seconds[max(attempt, 1) - 1])
    if status in _OVERLOADED:
        delay = max(delay, min(THROTTLE_SECONDS, delays_seconds[min(max(attempt, 1), len(delays_seconds) - 1)]))
    delay = max(delay, retry_after_seconds(retry_after, now()))
    return Retry(delay * (1 + JITTER * min(max(jitter(), 0.0), 1.0)))


def retry_after_seconds(header: str | None, now: datetime) -> float:
    """The seconds that a ``Retry-After`` header asks for, 0 to 86,400; 0 when it says nothing sensible.

    RFC 9110, section 10.2.3: a number of seconds or an HTTP date.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        # Compared by length first: a number of a thousand digits is not worth reading.
        return float(min(int(text), MOST_RETRY_AFTER_SECONDS)) if len(text) < 10 else float(MOST_RETRY_AFTER_SECONDS)
    try:
        date = parsedate_to_datetime(text)
        # A date without a zone is read as UTC, which RFC 9110 says every HTTP date is in.
        seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), float(MOST_RETRY_AFTER_SECONDS))
