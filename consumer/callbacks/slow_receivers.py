"""Keeps slow receivers of callbacks from delaying all others.

A receiver that hangs occupies a slot for the whole timeout of each delivery. With thousands of deliveries due, it would
occupy every slot. So a receiver that was slow is limited to a few slots, which all slow receivers share, until it
responds quickly again.
"""

from __future__ import annotations

from urllib.parse import urlsplit

#: A delivery that takes longer than this is slow.
SLOW_SECONDS = 2.0
#: How many slow receivers are remembered; beyond that, the one that was slow least recently is dropped.
MOST_SLOW = 100


class SlowReceivers:
    """The receivers that were slow when this process last sent to them. In memory only: a new process starts empty."""

    def __init__(self, slots: int) -> None:
        self._slow: dict[str, None] = {}
        #: Slots for all slow receivers together; 0 if there is only one slot, which everyone shares.
        self.slots = 0 if slots == 1 else max(1, slots // 4)

    @property
    def origins(self) -> tuple[str, ...]:
        """Scheme, host and port of each slow receiver: the prefix of its URLs."""
        return tuple(self._slow)

    def record(self, url: str, seconds: float) -> None:
        """Record how long a delivery took."""
        if not self.slots:
            return
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        self._slow.pop(origin, None)
        if seconds > SLOW_SECONDS:
            self._slow[origin] = None
            if len(self._slow) > MOST_SLOW:
                del self._slow[next(iter(self._slow))]
