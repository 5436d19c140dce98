"""Jobs, callbacks and dead letters as the JSON objects that the commands print."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from consumer.ledger.records import DeadLetter, Delivery, Job
from consumer.logs import scrub


def iso(seconds: float | None) -> str | None:
    """Format a Unix time as RFC 3339, in UTC, to the millisecond."""
    if seconds is None:
        return None
    moment = dt.datetime.fromtimestamp(round(seconds, 3), dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def job_view(job: Job, deliveries: Sequence[Delivery] = (), *, now: float) -> dict[str, Any]:
    """Return the job as JSON: the keys of the source systems first, then those that only Telecine has.

    ``now`` is the ledger's time: the processing time of a job that has started but not ended is the time until then.
    """
    ended = now if job.finished_at is None else job.finished_at
    took = None if job.started_at is None else round(max(0.0, ended - job.started_at), 3)
    outcome = job.outcome or {}
    return {
        "job_id": job.id,
        "status": job.state.value,
        "progress_percentage": job.progress,
        "created_at": iso(job.received_at),
        "started_at": iso(job.started_at),
        "processing_time_seconds": took,
        "error_message": job.error["message"] if job.error else None,
        "type": job.type,
        "finished_at": iso(job.finished_at),
        "error": job.error,
        "outputs": outcome.get("outputs"),
        "results_deleted_at": iso(job.results_deleted_at),
        "plan": outcome.get("plan"),
        "fingerprint": job.fingerprint,
        "door": job.door,
        "role": job.role,
        "priority": job.priority,
        "tenant": job.tenant,
        "attempts": job.epoch,
        "crashes": job.crashes,
        "duplicates": job.duplicates,
        "cancel_requested": job.cancel_requested,
        "deadline_at": iso(job.deadline_at),
        "not_before": iso(job.scheduled_for),
        "next_attempt_at": iso(job.not_before) if job.state.value == "waiting" else None,
        "callbacks": [callback_view(delivery) for delivery in deliveries],
    }


def request_view(job: Job) -> Any:
    """Return the job's request as JSON, without the credentials and queries of URLs in it."""
    return scrubbed(json.loads(job.request))


def scrubbed(value: Any) -> Any:
    """Return the JSON value without the credentials and queries of URLs in it."""
    if isinstance(value, dict):
        return {key: scrubbed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [scrubbed(item) for item in value]
    return scrub(value) if isinstance(value, str) else value


def callback_view(delivery: Delivery) -> dict[str, Any]:
    """Return the callback as JSON, without its body (which holds presigned URLs) and without its URL's query."""
    return {
        "webhook_id": delivery.id,
        "job_id": delivery.job_id,
        "event": delivery.event,
        "state": delivery.state.value,
        "url": scrub(delivery.url),
        "attempts": delivery.attempts,
        "created_at": iso(delivery.created_at),
        "next_attempt_at": iso(delivery.due_at),
        "delivered_at": iso(delivery.delivered_at),
        "last_answer": delivery.last_answer,
    }


def dead_letter_view(rejection: DeadLetter) -> dict[str, Any]:
    """Return the dead letter as JSON, without its body."""
    return {
        "number": rejection.seq,
        "rejected_at": iso(rejection.at),
        "door": rejection.door,
        "source": rejection.source,
        "request_id": rejection.request_id,
        "code": rejection.code,
        "message": rejection.message,
        "headers": rejection.headers,
        "bytes": len(rejection.body),
        "replayed_at": iso(rejection.replayed_at),
    }
