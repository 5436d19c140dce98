"""Ledger queries with a time limit."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from consumer.ledger.database import Database

Answer = TypeVar("Answer")

#: Queries that may wait for the ledger at the same time, and so the highest number of threads while it hangs.
_AT_ONCE = 4


class LedgerSilent(Exception):
    """The ledger did not answer in time, or the query failed; the message is then the exception's type."""


class LedgerProbe:
    """Runs ledger queries in separate threads, with a time limit."""

    def __init__(self, database: Database, *, close_after: bool = False) -> None:
        """Query ``database``. ``close_after`` closes its connections after each query; for a process that forks."""
        self._database = database
        self._close_after = close_after
        self._free = threading.BoundedSemaphore(_AT_ONCE)

    def ask(self, question: Callable[[Database], Answer], *, seconds: float) -> Answer:
        """Return the result of ``question``.

        Raises:
            LedgerSilent: If there is no result within ``seconds``, or the query failed.
        """
        deadline = time.monotonic() + seconds
        if not self._free.acquire(timeout=seconds):
            raise LedgerSilent("no answer")
        answers: queue.SimpleQueue[tuple[Answer | None, BaseException | None]] = queue.SimpleQueue()
        threading.Thread(target=self._ask, args=(question, answers), name="ledger-probe", daemon=True).start()
        try:
            answer, error = answers.get(timeout=max(0.001, deadline - time.monotonic()))
        except queue.Empty:
            raise LedgerSilent("no answer") from None
        if error is not None:
            raise LedgerSilent(type(error).__name__) from None
        return answer  # type: ignore[return-value]

    def _ask(
        self,
        question: Callable[[Database], Answer],
        answers: queue.SimpleQueue[tuple[Answer | None, BaseException | None]],
    ) -> None:
        try:
            answers.put((question(self._database), None))
        except Exception as error:
            answers.put((None, error))
        finally:
            if self._close_after:
                self._database.close()
            self._free.release()
