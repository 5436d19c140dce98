"""Ledger queries with a time limit."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from consumer.ledger.database import Database

T = TypeVar("T")

#: Queries that may wait for the ledger at the same time, and so the highest number of threads while it hangs.
_MAX_CONCURRENT = 4


class LedgerUnavailable(Exception):
    """The ledger did not answer in time, or the query failed; the message is then the exception's type."""


class LedgerProbe:
    """Runs ledger queries in separate threads, with a time limit."""

    def __init__(self, database: Database, *, close_after: bool = False) -> None:
        """Query ``database``. ``close_after`` closes its connections after each query; for a process that forks."""
        self._database = database
        self._close_after = close_after
        self._free = threading.BoundedSemaphore(_MAX_CONCURRENT)

    def query(self, read: Callable[[Database], T], *, seconds: float) -> T:
        """Return the result of ``read``.

        Raises:
            LedgerUnavailable: If there is no result within ``seconds``, or the query failed.
        """
        deadline = time.monotonic() + seconds
        if not self._free.acquire(timeout=seconds):
            raise LedgerUnavailable("no answer")
        results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()
        threading.Thread(target=self._query, args=(read, results), name="ledger-probe", daemon=True).start()
        try:
            result, error = results.get(timeout=max(0.001, deadline - time.monotonic()))
        except queue.Empty:
            raise LedgerUnavailable("no answer") from None
        if error is not None:
            raise LedgerUnavailable(type(error).__name__) from None
        return result  # type: ignore[return-value]

    def _query(
        self,
        read: Callable[[Database], T],
        results: queue.SimpleQueue[tuple[T | None, BaseException | None]],
    ) -> None:
        try:
            results.put((read(self._database), None))
        except Exception as error:
            results.put((None, error))
        finally:
            if self._close_after:
                self._database.close()
            self._free.release()
