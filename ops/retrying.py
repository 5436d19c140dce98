"""Retrying several jobs, each by itself: one that is refused does not stop the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from consumer.ledger import retries
from consumer.ledger.database import Database
from schemas.errors import TelecineError


@dataclass(frozen=True, slots=True)
class RetryResult:
    """The result for one job. ``refused`` is the error if it was not retried."""

    job_id: str
    #: How often the job was retried, with this time.
    number: int | None = None
    refused: TelecineError | None = None

    def as_record(self) -> dict[str, Any]:
        """Return the result as JSON."""
        error = None if self.refused is None else self.refused.as_record()
        return {"job_id": self.job_id, "retried": self.refused is None, "retry": self.number, "error": error}


def retry_jobs(
    database: Database, job_ids: Iterable[str], *, by: str, pay_again: bool = False
) -> Iterator[RetryResult]:
    """Retry the jobs and yield the result of each. A crash leaves every job either as it was or retried."""
    for job_id in job_ids:
        try:
            done = retries.retry(database, job_id, by=by, pay_again=pay_again)
        except TelecineError as error:
            yield RetryResult(job_id, refused=error)
        else:
            yield RetryResult(job_id, done.number)
