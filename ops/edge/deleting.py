"""Deleting jobs with their files, as ``telecine delete --force`` does."""

from __future__ import annotations

import time

from consumer.ledger.queries import find_job
from consumer.ledger.records import Job
from consumer.retention.job_deleter import DeletionResult, JobDeleter
from consumer.runtime import Runtime
from ops.cancelling import cancel_now
from ops.edge.access import Caller
from ops.edge.refusal import Refusal

_END_SECONDS = 30.0
_POLL_SECONDS = 0.2


def delete_job(runtime: Runtime, job: Job) -> DeletionResult:
    """Cancel the job if it has not ended, wait until it has, and delete it with its uploads and results.

    Raises:
        Refusal: It does not end, or has a paid call that is not settled.
    """
    deadline = time.monotonic() + _END_SECONDS
    deleter = JobDeleter(runtime.settings, runtime.database, runtime.storage)
    cancel_now(runtime.database, job.id, by="edge")
    while True:
        current = find_job(runtime.database, job.id)
        if current is None:
            return DeletionResult(job.id, 0)
        deleted = deleter.delete(current) if current.terminal else None
        if deleted is not None and deleted.kept is None:
            return deleted
        if time.monotonic() >= deadline:
            reason = f"it is {current.state.value}" if deleted is None else deleted.kept
            raise Refusal(409, "not_deleted", f"the job {job.id} was not deleted: {reason}; try again later")
        time.sleep(_POLL_SECONDS)  # a call of the job is being settled


def delete_older(runtime: Runtime, caller: Caller, seconds: float) -> tuple[int, int]:
    """Delete the caller's jobs that ended so long ago; return the numbers of jobs and files."""
    deleter = JobDeleter(runtime.settings, runtime.database, runtime.storage)
    found = [deleter.delete(job) for job in list(deleter.older(seconds)) if caller.may_see(job)]
    return sum(item.kept is None for item in found), sum(item.files for item in found)
