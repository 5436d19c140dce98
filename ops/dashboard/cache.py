"""Values that are expensive to read, shared by all pages that show them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

#: Reading takes at most this share of the time.
_MOST_SHARE = 0.03


class Shared(Generic[Value]):
    """A value that is read again once it is old, by one thread, while the others get the old one."""

    def __init__(self, read: Callable[[], Value], *, seconds: float) -> None:
        """Read with ``read``, at most once in ``seconds``, and less often if it is slow."""
        self._read = read
        self._seconds = seconds
        self._lock = threading.Lock()
        self._known: tuple[Value] | None = None
        self._fresh_until = 0.0

    def get(self) -> Value:
        """Return the value; the first call waits for it.

        Raises:
            Exception: What ``read`` raised, as long as there is no value.
        """
        if self._known is not None and time.monotonic() < self._fresh_until:
            return self._known[0]
        if self._known is None:
            with self._lock:
                if self._known is None:
                    self._refresh()
                return self._value()
        if self._lock.acquire(blocking=False):
            threading.Thread(target=self._refresh_and_release, name="dashboard-refresh", daemon=True).start()
        return self._value()

    def forget(self) -> None:
        """Read it again at the next call: an action has changed it."""
        self._known = None

    def _value(self) -> Value:
        if self._known is None:  # forgotten meanwhile
            return self._read()
        return self._known[0]

    def _refresh(self) -> None:
        start = time.monotonic()
        self._known = (self._read(),)
        took = time.monotonic() - start
        self._fresh_until = time.monotonic() + max(self._seconds, took / _MOST_SHARE)

    def _refresh_and_release(self) -> None:
        try:
            self._refresh()
        except Exception:
            # The ledger is away: the next page reads it itself and shows the error.
            self._known = None
        finally:
            self._lock.release()
