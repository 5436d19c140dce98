"""The heartbeat of a job: keeps the lease alive while a worker works, and brings bad news."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from consumer.ledger.database import Database
from consumer.ledger.leases import renew
from consumer.ledger.records import Lease
from consumer.logs import logger
from schemas.errors import DeadlineExceeded, JobCancelled, LeaseLost, TelecineError

log = logger(__name__)

#: The longest time between two beats: how late a cancellation is noticed, and a progress bar moves.
BEAT_SECONDS = 2.0

#: The first beat comes soon, so that a short job shows its progress too; the pause doubles from beat to beat.
FIRST_BEAT_SECONDS = 0.25

_TELL_POINTS = 10


class Heartbeat:
    """Renews the lease in a thread of its own, at least three times in its life, until it is left.

    A ledger that cannot be reached is asked again until the lease would have run out: from then on
    another worker may have the job, and this one stops.
    """

    def __init__(
        self,
        database: Database,
        lease: Lease,
        *,
        seconds: float,
        tell: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``tell`` gets the percentage whenever it has grown by ten points or more since the last time."""
        self._database = database
        self._lease = lease
        self._seconds = seconds
        self._tell = tell
        self._progress = 0
        self._told = 0
        self._bad_news: TelecineError | None = None
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{lease.job_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()

    def progress(self, percentage: int) -> None:
        """Notes how far the job is, for the next beat. Never goes back."""
        self._progress = max(self._progress, min(99, percentage))

    def check(self) -> None:
        """Returns if the work may go on.

        Raises:
            LeaseLost: another worker may have the job by now.
            JobCancelled: somebody cancelled it.
            DeadlineExceeded: its deadline passed.
        """
        if self._bad_news is not None:
            raise self._bad_news

    def _beat(self) -> None:
        good_until = time.monotonic() + self._seconds
        pause = FIRST_BEAT_SECONDS
        while not self._left.wait(min(self._seconds / 3, pause)):
            pause = min(BEAT_SECONDS, pause * 2)
            started = time.monotonic()
            try:
                pulse = renew(self._database, self._lease, seconds=self._seconds, progress=self._progress)
            except LeaseLost as error:
                self._bad_news = error
                return
            except Exception:
                log.warning("heartbeat_failed", job_id=self._lease.job_id, exc_info=True)
                if time.monotonic() >= good_until:
                    self._bad_news = LeaseLost()
                    return
                continue
            good_until = started + self._seconds
            self._tell_progress()
            if pulse.cancel_requested:
                self._bad_news = JobCancelled()
            elif pulse.deadline_passed:
                self._bad_news = DeadlineExceeded()

    def _tell_progress(self) -> None:
        if self._progress < self._told + _TELL_POINTS:
            return
        self._told = self._progress
        try:
            self._tell(self._told)
        except Exception:
            log.warning("progress_not_told", job_id=self._lease.job_id, exc_info=True)
