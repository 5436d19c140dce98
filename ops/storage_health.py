"""Whether the object storage accepts this process's credentials and answers, for ``/health`` and ``/ready``."""

from __future__ import annotations

import threading
import time

from consumer.storage.base import Storage
from schemas.errors import TelecineError

#: A result is used for this long before the storage is asked again.
FRESH_SECONDS = 15.0
#: A request that takes longer counts as no answer.
_SLOW_SECONDS = 10.0
#: Longest wait for a result, so that a probe gets its answer even when the storage hangs.
_WAIT_SECONDS = 0.5


class StorageHealth:
    """Asks the storage about one object from a separate thread, at most every ``FRESH_SECONDS``."""

    def __init__(self, storage: Storage, output: str) -> None:
        """Ask ``storage`` about an object below ``output``; it need not exist."""
        self._storage = storage
        self._uri = f"{output.rstrip('/')}/.telecine-ready"
        self._lock = threading.Lock()
        self._state = "no answer yet"
        self._started = float("-inf")
        self._answered = threading.Event()
        self._answered.set()

    def state(self) -> str:
        """Return ``ok``, or the reason why the storage cannot be used."""
        with self._lock:
            if self._answered.is_set() and time.monotonic() - self._started > FRESH_SECONDS:
                self._started = time.monotonic()
                self._answered.clear()
                threading.Thread(target=self._ask, name="storage-health", daemon=True).start()
        if not self._answered.wait(_WAIT_SECONDS) and time.monotonic() - self._started > _SLOW_SECONDS:
            return "no answer"
        return self._state

    def _ask(self) -> None:
        try:
            self._storage.head(self._uri)
        except TelecineError as error:
            # Missing permissions concern one place; they are for `telecine doctor`.
            self._state = error.message if error.outage else "ok"
        except Exception as error:
            self._state = type(error).__name__
        else:
            self._state = "ok"
        finally:
            self._answered.set()
