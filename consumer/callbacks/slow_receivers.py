"""Two lanes for callbacks: receivers that answer, and receivers that keep everybody waiting.

A receiver that hangs holds each of its deliveries for the whole time limit. With thousands of them due, it would
hold every place there is. So one that was slow gets a few places, which all the slow ones share, until it is quick.
"""

from __future__ import annotations

from urllib.parse import urlsplit

#: An exchange that took longer than this was slow.
SLOW_SECONDS = 2.0
#: So many slow receivers are remembered; of more, the one that was slow least recently is forgotten.
MOST_SLOW = 100


class SlowReceivers:
    """Who was slow, as this process has seen it. A crash forgets it: the next process finds out again."""

    def __init__(self, places: int) -> None:
        self._slow: dict[str, None] = {}
        #: Places for all slow receivers together. A single place cannot be divided: it is everybody's.
        self.slow_places = 0 if places == 1 else max(1, places // 4)

    @property
    def slow(self) -> tuple[str, ...]:
        """The beginnings of the slow receivers' URLs."""
        return tuple(self._slow)

    def seen(self, url: str, seconds: float) -> None:
        """Notes how long an exchange took."""
        if not self.slow_places:
            return
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        self._slow.pop(origin, None)
        if seconds > SLOW_SECONDS:
            self._slow[origin] = None
            if len(self._slow) > MOST_SLOW:
                del self._slow[next(iter(self._slow))]
