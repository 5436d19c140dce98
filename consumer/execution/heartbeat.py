"""The heartbeat of an attempt: it renews the lease and learns that the work must stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from consumer.calls.progress import passed_tenth
from consumer.ledger.database import Database
from consumer.ledger.leases import renew
from consumer.ledger.records import Lease
from consumer.logs import logger
from schemas.errors import DeadlineExceeded, JobCancelled, LeaseLost, TelecineError

log = logger(__name__)

#: The longest time between two beats: how late a cancellation is noticed and progress is shown.
BEAT_SECONDS = 2.0
#: The first beat comes soon, so that a short job shows its progress too; the interval doubles with each beat.
FIRST_BEAT_SECONDS = 0.25


class Heartbeat:
    """Renews the lease in a thread of its own, at least three times within its lifetime.

    If the ledger cannot be reached until the lease would have expired, another worker may have the job, so this
    attempt stops.
    """

    def __init__(
        self,
        database: Database,
        lease: Lease,
        *,
        seconds: float,
        progress: int = 0,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Prepare the heartbeat; it starts as a context manager.

        Args:
            database: The ledger.
            lease: The lease to renew.
            seconds: Its lifetime.
            progress: The progress that the job has already, in percent.
            on_progress: Called whenever the progress has passed another multiple of ten.
        """
        self._database = database
        self._lease = lease
        self._seconds = seconds
        self._on_progress = on_progress
        self._progress = self._reported = progress
        self._stop_error: TelecineError | None = None
        self._exited = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{lease.job_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exited.set()
        self._thread.join()

    def progress(self, percentage: int) -> None:
        """Set the progress that the next beat records. It never decreases, and stays below 100."""
        self._progress = max(self._progress, min(99, percentage))

    def check(self) -> None:
        """Check that the work may continue.

        Raises:
            LeaseLost: another worker may have the job by now.
            JobCancelled: it was cancelled.
            DeadlineExceeded: its deadline has passed.
        """
        if self._stop_error is not None:
            raise self._stop_error

    def _beat(self) -> None:
        lease_ends = time.monotonic() + self._seconds
        interval = FIRST_BEAT_SECONDS
        while not self._exited.wait(min(self._seconds / 3, interval)):
            interval = min(BEAT_SECONDS, interval * 2)
            started = time.monotonic()
            try:
                beat = renew(self._database, self._lease, seconds=self._seconds, progress=self._progress)
            except LeaseLost as error:
                self._stop_error = error
                return
            except Exception:
                log.warning("heartbeat_failed", job_id=self._lease.job_id, exc_info=True)
                if time.monotonic() >= lease_ends:
                    self._stop_error = LeaseLost()
                    return
                continue
            lease_ends = started + self._seconds
            self._report_progress()
            if beat.cancel_requested:
                self._stop_error = JobCancelled()
            elif beat.deadline_passed:
                self._stop_error = DeadlineExceeded()

    def _report_progress(self) -> None:
        before, self._reported = self._reported, self._progress
        if not passed_tenth(before, self._reported):
            return
        try:
            self._on_progress(self._reported)
        except Exception:
            log.warning("progress_callback_failed", job_id=self._lease.job_id, exc_info=True)
