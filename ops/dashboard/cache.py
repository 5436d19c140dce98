"""Values that are expensive to read, shared by all pages that show them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

#: Reading takes at most this share of the time.
_MOST_SHARE = 0.01


class Shared(Generic[Value]):
    """A value that is read again once it is old, by one thread, while the others get the old one."""

    def __init__(self, read: Callable[[], Value], *, seconds: float) -> None:
        """Read with ``read``, at most once in ``seconds``, and less often if it is slow."""
        self._read = read
        self._seconds = seconds
        self._lock = threading.Lock()
        #: The value, and until when it is fresh.
        self._known: tuple[Value, float] | None = None
        #: Another object after each ``forget``, so that what was read before does not count.
        self._era = object()

    def get(self) -> Value:
        """Return the value; the first call waits for it.

        Raises:
            Exception: What ``read`` raised, as long as there is no value.
        """
        known = self._known
        if known is None:
            with self._lock:
                return (self._known or self._refresh())[0]
        if time.monotonic() >= known[1] and self._lock.acquire(blocking=False):
            threading.Thread(target=self._refresh_and_release, name="dashboard-refresh", daemon=True).start()
        return known[0]

    def forget(self) -> None:
        """Read it again at the next call: an action has changed it."""
        self._era = object()
        self._known = None

    def _refresh(self) -> tuple[Value, float]:
        era, start = self._era, time.monotonic()
        value = self._read()
        end = time.monotonic()
        known = (value, end + max(self._seconds, (end - start) / _MOST_SHARE))
        self._known = known
        if era is not self._era:  # checked after it was set: ``forget`` may run in between
            self._known = None
        return known

    def _refresh_and_release(self) -> None:
        try:
            self._refresh()
        except Exception:
            # The ledger is away: the next page reads it itself and shows the error.
            self._known = None
        finally:
            self._lock.release()
