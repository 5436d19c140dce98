"""Errors of the job as a whole, of the settings, and of Telecine itself."""

from __future__ import annotations

from schemas.errors.base import TelecineError, Verdict


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
