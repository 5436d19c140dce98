"""Cancel a job at once, or as soon as its worker notices."""

from __future__ import annotations

from consumer.callbacks.bodies import job_delivery
from consumer.ledger.completion import finish_unleased, request_cancel
from consumer.ledger.database import Database
from consumer.ledger.provenance import spent_on
from consumer.ledger.queries import find_job
from consumer.ledger.records import Job
from consumer.ledger.retries import number_of
from consumer.ledger.states import State
from schemas.errors import JobCancelled


def cancel_now(database: Database, job_id: str, *, by: str = "cli") -> Job:
    """Record the cancellation, end the job at once if no worker holds its lease, and return it.

    After a crash in between, the sweep ends the job.
    """
    job = request_cancel(database, job_id, by=by)
    if not job.terminal:
        error = JobCancelled()
        cost, retry = spent_on(database, job_id), number_of(database, job)
        now = database.now()
        delivery = job_delivery(job, "failed", status="cancelled", now=now, error=error, cost=cost, retry=retry)
        finish_unleased(database, job_id, State.CANCELLED, error, delivery)
    return find_job(database, job_id) or job
