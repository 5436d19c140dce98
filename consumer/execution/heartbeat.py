"""The heartbeat of an attempt: its lease is renewed, and it learns that the work must stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from consumer.calls.progress import passed_tenth
from consumer.ledger.heartbeats import FIRST_BEAT_SECONDS, Heartbeats
from consumer.ledger.leases import HeartbeatResult
from consumer.ledger.records import Lease
from consumer.logs import logger
from schemas.errors import DeadlineExceeded, JobCancelled, LeaseLost, TelecineError

log = logger(__name__)

#: The longest time between two beats: how late a cancellation is noticed and progress is shown.
BEAT_SECONDS = 2.0


class Heartbeat:
    """Has the lease of one attempt renewed, at least three times within its lifetime.

    If the ledger cannot be reached until the lease would have expired, another worker may have the job, so this
    attempt stops.
    """

    def __init__(
        self,
        beats: Heartbeats,
        lease: Lease,
        *,
        progress: int = 0,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Prepare the heartbeat; it starts as a context manager.

        Args:
            beats: The heartbeats of this process.
            lease: The lease to renew.
            progress: The progress that the job has already, in percent.
            on_progress: Called whenever the progress has passed another multiple of ten.
        """
        self.lease = lease
        self._beats, self._seconds = beats, beats.seconds
        self._on_progress = on_progress
        self._progress = self._reported = progress
        self._stop_error: TelecineError | None = None
        self._interval = FIRST_BEAT_SECONDS
        #: On this process's clock: when the lease expires, and when it is renewed next.
        self._lease_ends = self.next_beat = 0.0

    def __enter__(self) -> Self:
        now = time.monotonic()
        self._lease_ends, self.next_beat = now + self._seconds, now + min(self._seconds / 3, self._interval)
        self._beats.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._beats.remove(self)

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
        if time.monotonic() >= self._lease_ends:
            raise LeaseLost

    def beat(self) -> tuple[Lease, int]:
        """Return what a beat records: that the lease is held, and the progress."""
        return self.lease, self._progress

    def renewed(self, result: HeartbeatResult | None, started: float, progress: int) -> None:
        """Take note of a beat that began at ``started``; its result is ``None`` if another worker has the job."""
        if result is None:
            self._lose()
            return
        self._schedule()
        self._lease_ends = started + self._seconds
        self._report_progress(progress)
        if result.cancel_requested:
            self._stop_error = JobCancelled()
        elif result.deadline_passed:
            self._stop_error = DeadlineExceeded()

    def failed(self) -> None:
        """Take note of a beat that did not reach the ledger."""
        self._schedule()
        if time.monotonic() >= self._lease_ends:
            self._lose()

    def _lose(self) -> None:
        self._stop_error, self.next_beat = LeaseLost(), math.inf

    def _schedule(self) -> None:
        self._interval = min(BEAT_SECONDS, self._interval * 2)
        self.next_beat = time.monotonic() + min(self._seconds / 3, self._interval)

    def _report_progress(self, progress: int) -> None:
        before, self._reported = self._reported, progress
        if not passed_tenth(before, progress):
            return
        try:
            self._on_progress(progress)
        except Exception:
            log.warning("progress_callback_failed", job_id=self.lease.job_id, exc_info=True)
