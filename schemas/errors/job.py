"""Errors of the job as a whole, of the settings, and of Telecine itself."""

from __future__ import annotations

import errno

from schemas.errors.base import TelecineError, Verdict

#: The disk is full, a failed one is read-only, or a network share has disappeared.
_DISK_FAULTS = {
    errno.ENOSPC: "has no disk space left for this job",
    errno.EDQUOT: "has no disk space left for this job",
    errno.EROFS: "cannot write to its disk",
    errno.EIO: "cannot use its disk",
    errno.ESTALE: "has lost its network share",
}


class JobError(TelecineError):
    """The job ended before it completed."""


class JobCancelled(JobError):
    """The job was cancelled."""

    code = "cancelled"


class DeadlineExceeded(JobError):
    """The deadline passed before the job completed. Send a new request with a later deadline."""

    code = "deadline_exceeded"


class WorkerLost(JobError):
    """Workers died repeatedly while running this job. See `telecine explain` before you send it again."""

    code = "worker_lost"


class RetriesExhausted(JobError):
    """A temporary fault persisted. `telecine explain` shows the attempts; send the request again under a new id."""

    code = "retries_exhausted"

    @property
    def retryable(self) -> bool:
        """True, because only temporary faults are retried."""
        return True


class LeaseLost(JobError):
    """Another worker has claimed the job; this one stops without writing anything."""

    code = "lease_lost"
    verdict = Verdict.UNKNOWN


class ConfigurationError(TelecineError):
    """The settings are invalid. Run `telecine doctor` for details."""

    code = "configuration"


class InternalError(TelecineError):
    """An unexpected error in Telecine. The job is kept; please report it with the output of `telecine explain`."""

    code = "internal_error"
    verdict = Verdict.LATER


def disk_fault(error: BaseException) -> InternalError | None:
    """Return the error of a disk that is full or failed; ``None`` if ``error`` is something else."""
    number = error.errno if isinstance(error, OSError) else None
    return InternalError(f"the worker {_DISK_FAULTS[number]}", outage=True) if number in _DISK_FAULTS else None
