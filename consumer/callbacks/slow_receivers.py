"""Limits on deliveries in flight, so that receivers that do not respond do not delay the callbacks of the others.

A receiver that hangs would occupy a slot for the whole timeout of each delivery, and a few hundred of them would occupy
all slots for minutes. Therefore:

- A delivery that has waited for its response for a moment is late: it gives its slot back and only counts towards a
  much larger limit of connections.
- An origin (scheme, host and port) that is not known yet gets one delivery at a time, a slow one a few. Together they
  leave a share of the slots and of the connections to the origins that responded quickly the last time.
- Slow and unknown origins of one domain share a limit, because with a wildcard DNS name there is no end to origins.
"""

from __future__ import annotations

import functools
import ipaddress
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from consumer.ledger.outbox import DueCallback

#: A delivery in flight for longer than this is late.
LATE_SECONDS = 0.5
#: A receiver whose delivery takes longer than this is slow.
SLOW_SECONDS = 2.0
#: Late deliveries at the same time, as a multiple of the slots.
LATE_FACTOR = 8
#: Late deliveries at the same time at most, because each is a socket and a process may have 1,024 of them.
MOST_LATE = 512
#: How many origins are remembered; beyond that, the one that was used least recently is dropped.
MOST_KNOWN = 10_000

_PORTS = {"http": 80, "https": 443}


@dataclass(slots=True)
class InFlight:
    """A delivery in flight. Pass it to ``answered`` and ``finish``."""

    origin: str
    site: str
    started: float
    answered: bool = False


class SlowReceivers:
    """Decides which due deliveries may start. In memory only: a new process knows no origin.

    Args:
        slots: Deliveries in flight at the same time, late ones not counted.
        clock: Returns monotonic seconds.
    """

    def __init__(self, slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._slots = slots
        self._connections = min(slots * LATE_FACTOR, MOST_LATE)
        self._clock = clock
        #: Whether each known origin is slow.
        self._slow: dict[str, bool] = {}
        self._in_flight: dict[int, InFlight] = {}

    @property
    def free(self) -> int:
        """How many deliveries may start now, if their origins respond quickly."""
        late = sum(self._is_late(item) for item in self._in_flight.values())
        active = len(self._in_flight) - late
        return max(0, min(self._slots - active, self._slots + self._connections - len(self._in_flight)))

    def choose(self, due: Iterable[DueCallback], most: int) -> list[str]:
        """Return the ids of up to ``most`` deliveries that may start together, in the order given."""
        usage = self._usage()
        chosen: list[str] = []
        for delivery in due:
            origin = origin_of(delivery.url)
            if usage.admits(origin, site_of(origin), self._pace(origin, unanswered=delivery.unanswered)):
                chosen.append(delivery.id)
                if len(chosen) == most:
                    break
        return chosen

    def start(self, url: str) -> InFlight:
        """Record that a delivery to ``url`` is in flight."""
        origin = origin_of(url)
        item = InFlight(origin, site_of(origin), self._clock())
        self._in_flight[id(item)] = item
        return item

    def answered(self, item: InFlight) -> None:
        """Record that the receiver responded, or that its time was up. From the duration follows whether it is slow."""
        item.answered = True
        self._learn(item.origin, slow=self._clock() - item.started > SLOW_SECONDS)

    def finish(self, item: InFlight) -> None:
        """Record the end of a delivery."""
        del self._in_flight[id(item)]

    def _learn(self, origin: str, *, slow: bool) -> None:
        self._slow.pop(origin, None)
        self._slow[origin] = slow
        if len(self._slow) > MOST_KNOWN:
            del self._slow[next(iter(self._slow))]

    def _is_late(self, item: InFlight) -> bool:
        return self._clock() - item.started > LATE_SECONDS

    def _pace(self, origin: str, *, unanswered: bool = False) -> str:
        if unanswered and origin not in self._slow:
            self._learn(origin, slow=True)
        slow = self._slow.get(origin)
        return "unknown" if slow is None else "slow" if slow else "quick"

    def _usage(self) -> _Usage:
        now = self._clock()
        for item in self._in_flight.values():
            if not item.answered and now - item.started > SLOW_SECONDS and not self._slow.get(item.origin, False):
                self._learn(item.origin, slow=True)
        usage = _Usage(self._slots, self._connections)
        for item in self._in_flight.values():
            usage.add(item.origin, item.site, self._pace(item.origin), late=self._is_late(item))
        return usage


class _Usage:
    """Deliveries in flight and chosen so far, counted in the ways that are limited."""

    def __init__(self, slots: int, connections: int) -> None:
        #: Slots for unknown and slow origins together, and for one quick origin. The others keep the rest.
        self._shared_slots = slots - slots // 4
        self._connections = connections
        self._of_one_slow_origin = max(1, slots // 4)
        self._origins: Counter[str] = Counter()
        self._sites: Counter[str] = Counter()
        self._paces: Counter[str] = Counter()
        self._active = 0

    def add(self, origin: str, site: str, pace: str, *, late: bool) -> None:
        """Count one delivery."""
        self._origins[origin] += 1
        self._paces[pace] += 1
        if pace != "quick":
            self._sites[site] += 1
            self._active += not late

    def admits(self, origin: str, site: str, pace: str) -> bool:
        """Return whether one more delivery is within the limits, and count it if it is."""
        most = {"quick": self._shared_slots, "slow": self._of_one_slow_origin, "unknown": 1}[pace]
        if self._origins[origin] >= most:
            return False
        if pace != "quick" and not self._within_share(site, pace):
            return False
        self.add(origin, site, pace, late=False)
        return True

    def _within_share(self, site: str, pace: str) -> bool:
        quarter = max(1, self._connections // 4)
        return (
            self._active < self._shared_slots
            and self._paces["slow"] + self._paces["unknown"] < self._connections
            and self._sites[site] < quarter
            and (pace == "unknown" or self._paces["slow"] < quarter)
        )


@functools.lru_cache(MOST_KNOWN)
def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL in one spelling."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    try:
        port = parts.port
    except ValueError:
        port = None
    host = (parts.hostname or "").rstrip(".")
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or _PORTS.get(scheme, 0)}"


@functools.lru_cache(MOST_KNOWN)
def site_of(origin: str) -> str:
    """Return what the origins of one owner have in common: the last labels of the name, or the whole origin.

    An approximation of the registrable domain, without the public suffix list: two labels, or three below a short
    second-level name such as ``co.uk``.
    """
    host = urlsplit(origin).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        labels = host.split(".")
        short = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3
        return ".".join(labels[-3:] if short else labels[-2:])
    return origin
