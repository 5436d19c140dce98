"""The progress that providers report, as the progress of the jobs that wait for them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from consumer.callbacks.bodies import job_delivery
from consumer.ledger import call_outcomes
from consumer.ledger.call_records import CallRow
from consumer.ledger.outbox import NewDelivery
from consumer.ledger.queries import waiting_jobs
from consumer.ledger.records import Job
from consumer.ledger.retries import number_of
from consumer.logs import logger
from consumer.runtime import Runtime

log = logger(__name__)

#: A job's progress in percent once its inputs are fetched, and once its media are made.
_INPUTS, _MADE = 5, 95
#: The most that a call counts for which only prepares the job's own, such as one that writes the prompt of a video.
_PREPARED = 20
#: The shortest time between two records of one call's progress.
_RECORD_SECONDS = 2.0
#: Calls whose progress is remembered; the oldest are forgotten, and recorded once more.
_REMEMBERED = 10_000


def job_percentage(share: float, made: int = _MADE) -> int:
    """Return the progress of a job of which this share is made. Finished, it has ``made`` percent."""
    return _INPUTS + int((made - _INPUTS) * min(1.0, max(0.0, share)))


def passed_tenth(before: int, now: int) -> bool:
    """Return whether a progress callback is due: the progress has passed another multiple of ten."""
    return now // 10 > before // 10


class ProgressRecorder:
    """Records the progress of calls. It may be lost: nothing else depends on it, and the next poll reports more."""

    def __init__(self, runtime: Runtime) -> None:
        self._database = runtime.database
        self._new: list[tuple[CallRow, float]] = []
        #: By call: the share that was recorded last, and when.
        self._recorded: dict[str, tuple[float, float]] = {}

    def note(self, call: CallRow, share: float | None) -> None:
        """Take what a poll reported: it is recorded if it has grown, and not within seconds of the last record."""
        if not isinstance(share, int | float) or not share > 0:  # an adapter of an extension may report anything
            return
        recorded, at = self._recorded.get(call.id, (0.0, float("-inf")))
        if share >= recorded + 0.01 and time.monotonic() >= at + _RECORD_SECONDS:
            self._new.append((call, min(1.0, share)))

    def flush(self) -> None:
        """Record what was noted, with the progress callbacks that are due. Errors are logged."""
        noted, self._new = self._new, []
        if not noted:
            return
        try:
            self._record(noted)
        except Exception:
            log.warning("recording_progress_failed", calls=len(noted), exc_info=True)
            return
        for call, share in noted:
            while call.id not in self._recorded and len(self._recorded) >= _REMEMBERED:
                del self._recorded[next(iter(self._recorded))]
            self._recorded[call.id] = (share, time.monotonic())

    def _record(self, noted: Sequence[tuple[CallRow, float]]) -> None:
        reported = {call.job_id: (call, share) for call, share in noted}
        grown = []
        for job in waiting_jobs(self._database, list(reported)):
            call, share = reported[job.id]
            percentage = job_percentage(share, _MADE if call.spec.type == job.type else _PREPARED)
            if percentage > job.progress:
                grown.append((job, percentage, self._delivery(job, percentage)))
        call_outcomes.record_progress(self._database, grown)

    def _delivery(self, job: Job, percentage: int) -> NewDelivery | None:
        if not passed_tenth(job.progress, percentage):
            return None
        retry, now = number_of(self._database, job), self._database.now()
        return job_delivery(job, "progress", status="running", now=now, progress=percentage, retry=retry)
