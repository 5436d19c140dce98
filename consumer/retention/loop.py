"""The retention loop: deletes results, job records and dead letters that are older than the settings allow."""

from __future__ import annotations

import threading
from collections.abc import Callable

from consumer.logs import logger
from consumer.retention.dead_letters import delete_old_dead_letters
from consumer.retention.job_deleter import JobDeleter
from consumer.retention.orphaned_uploads import delete_orphaned_uploads
from consumer.runtime import Runtime
from schemas.errors import TelecineError

log = logger(__name__)

_DAY_SECONDS = 86_400.0
#: How often the loop looks for what is too old.
INTERVAL_SECONDS = 3600.0


class RetentionLoop:
    """Deletes what is too old: at the start, then every hour. Any number of loops may run."""

    def __init__(self, runtime: Runtime, *, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._runtime = runtime
        self._interval_seconds = interval_seconds
        self._stopped = threading.Event()

    def run(self) -> None:
        """Delete until ``stop``. Log errors and continue."""
        while not self._stopped.is_set():
            for delete in (self.delete_results, self.delete_jobs, self.delete_dead_letters, self.delete_uploads):
                self._guarded(delete)
            self._stopped.wait(self._interval_seconds)

    def stop(self) -> None:
        """Make ``run`` return soon. Call it from any thread."""
        self._stopped.set()

    def delete_results(self) -> int:
        """Delete the results of jobs that ended ``results_ttl_days`` ago; return the number of jobs."""
        return self._delete_jobs(self._runtime.settings.results_ttl_days, results_only=True)

    def delete_jobs(self) -> int:
        """Delete jobs that ended ``jobs_ttl_days`` ago, with their results; return their number."""
        return self._delete_jobs(self._runtime.settings.jobs_ttl_days, results_only=False)

    def delete_dead_letters(self) -> int:
        """Delete dead letters, and callbacks of refused requests, after ``dead_letters_ttl_days``; return how many."""
        days = self._runtime.settings.dead_letters_ttl_days
        if days is None:
            return 0
        deleted = delete_old_dead_letters(self._runtime.database, days * _DAY_SECONDS)
        if deleted:
            log.info("old_dead_letters_deleted", dead_letters=deleted)
        return deleted

    def delete_uploads(self) -> int:
        """Delete uploads without a request after ``edge_uploads_ttl_hours``; return the number of files."""
        runtime = self._runtime
        age_seconds = runtime.settings.edge_uploads_ttl_hours * 3600
        deleted = delete_orphaned_uploads(runtime.settings, runtime.database, runtime.storage, age_seconds=age_seconds)
        if deleted:
            log.info("orphaned_uploads_deleted", files=deleted)
        return deleted

    def _delete_jobs(self, days: float | None, *, results_only: bool) -> int:
        if days is None:
            return 0
        runtime, jobs, files = self._runtime, 0, 0
        deleter = JobDeleter(runtime.settings, runtime.database, runtime.storage)
        for deleted in deleter.delete_older(days * _DAY_SECONDS, results_only=results_only):
            jobs += deleted.kept is None
            files += deleted.files
            if deleted.kept is not None:
                log.warning("old_job_kept", job_id=deleted.job_id, reason=deleted.kept)
            if deleted.storage_failed or self._stopped.is_set():
                break
        if jobs and results_only:
            log.info("old_results_deleted", jobs=jobs, files=files)
        elif jobs:
            log.info("old_jobs_deleted", jobs=jobs, files=files)
        return jobs

    def _guarded(self, act: Callable[[], object]) -> None:
        try:
            act()
        except TelecineError as error:
            log.warning("retention_failed", reason=error.message)
        except Exception:
            log.warning("retention_failed", exc_info=True)
