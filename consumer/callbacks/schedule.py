"""The retry schedule of callbacks: what to do after an attempt, by the response.

Statuses and delays follow Standard Webhooks 1.0.0, "Deliverability and reliability". The functions are pure, except
that an HTTP date in ``Retry-After`` is compared with the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from providers.http.retry_after import parse_retry_after
from schemas.errors import AddressForbidden, TenantForbidden

#: Seconds between attempts: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
DELAYS_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: A delay is extended by up to this fraction, so that callbacks that failed together are not retried together.
JITTER = 0.1
#: Minimum delay after a status that means overload, or the schedule's next delay if that is shorter.
THROTTLE_SECONDS = 60

_OVERLOADED = frozenset({429, 502, 504})


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has accepted the callback."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Retry after a delay."""

    after_seconds: float


@dataclass(frozen=True, slots=True)
class Disabled:
    """Do not retry: the receiver answered 410 (``gone``), or the URL or the signing secret may not be used."""

    reason: str


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The last attempt failed. ``telecine callbacks replay`` can still send the callback."""


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
    """Return what to do after attempt number ``attempt``, counted from 1.

    Args:
        status: HTTP status of the response; ``None`` if there was no response.
        retry_after: The response's ``Retry-After`` header.
        jitter: Returns a number from 0 to 1, such as ``random.random``.
        error: The exception that the HTTP client raised.
        delays_seconds: Delays between attempts. The first attempt has no delay, so there is one attempt more than
            delays: by default ten, over a little more than three days.
        delivered: Statuses besides 2xx that count as accepted.
        now: Returns the current time, with a zone.
    """
    if isinstance(error, AddressForbidden | TenantForbidden):
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
    delay = max(delay, parse_retry_after(retry_after, now()) or 0.0)
    return Retry(delay * (1 + JITTER * min(max(jitter(), 0.0), 1.0)))
