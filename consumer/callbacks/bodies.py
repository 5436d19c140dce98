"""The bodies of callbacks: written once, sent as they are however often."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

from consumer.callbacks.game import EVENT_PREFIX, game_body, game_url
from consumer.ledger.outbox import NewDelivery, webhook_id
from consumer.ledger.provenance import Provenance
from consumer.ledger.records import Job
from schemas.callback import Callback, CallbackData, Cost, EventType, Failure, Output, Status
from schemas.envelope import CallbackSpec
from schemas.errors import TelecineError
from schemas.parse import recover_fields

_EVENTS: dict[str, EventType] = {
    "started": "job.started",
    "progress": "job.progress",
    "completed": "job.completed",
    "failed": "job.failed",
}


def job_delivery(
    job: Job,
    event: str,
    *,
    status: Status,
    now: float,
    outputs: Sequence[Output] | None = None,
    plan: Mapping[str, Any] | None = None,
    error: TelecineError | None = None,
    progress: int | None = None,
    credit: Provenance | None = None,
    cost: Cost | None = None,
) -> NewDelivery | None:
    """The callback about ``event`` of a job, or ``None`` when nobody asked for it.

    ``credit`` is who made the result; a ``title`` among its details is the title in format ``game``. ``cost`` is what
    was spent on a job that has no result.
    """
    _, spec, metadata = recover_fields(json.loads(job.request))
    if spec is None or event not in spec.events:
        return None
    done = status == "completed"
    credit = credit or Provenance()
    data = CallbackData(
        id=job.id,
        type=job.type,
        status=status,
        progress_percentage=100 if done else (job.progress if progress is None else progress),
        outputs=None if outputs is None else list(outputs),
        plan=None if plan is None else dict(plan),
        error=None if error is None else Failure.model_validate(error.as_record()),
        provider=credit.provider if done else None,
        model=(credit.model or job.type) if done else None,
        cost=credit.cost if done else cost,
        created_at=_time(job.received_at),
        started_at=None if job.started_at is None else _time(job.started_at),
        processing_time_seconds=round(now - job.started_at, 3) if done and job.started_at is not None else None,
        metadata=metadata,
    )
    body = Callback(type=_EVENTS[event], timestamp=_time(now), data=data)
    occurrence: tuple[object, ...] = (progress,) if event == "progress" else ()
    # With the time, because the same request is another job once the first was deleted.
    identity = webhook_id(job.id, job.fingerprint, job.received_at, event, *occurrence)
    if spec.format == "game":
        return _game_delivery(
            identity,
            job.id,
            job.id,
            spec,
            event,
            game_body(completed=done, outputs=outputs or (), details=credit.details),
        )
    return _delivery(identity, job.id, spec, body)


def dead_letter_delivery(
    *,
    seq: int,
    request_id: str | None,
    type: str | None,  # noqa: A002 - the field's name in the contract
    status: Status,
    error: TelecineError,
    callback: CallbackSpec,
    metadata: Mapping[str, Any] | None,
    at: dt.datetime,
) -> NewDelivery | None:
    """The callback about a request that was refused at the door. It belongs to no job.

    ``None`` in format ``game`` when the request has no id that could be told.
    """
    # With the time, because a ledger that was restored from a backup counts from there again.
    identity = webhook_id("rejected", seq, request_id, at.isoformat())
    if callback.format == "game":
        return _game_delivery(identity, None, request_id, callback, "failed", game_body(completed=False))
    data = CallbackData(
        id=request_id,
        type=type,
        status=status,
        error=Failure.model_validate(error.as_record()),
        created_at=at,
        metadata=None if metadata is None else dict(metadata),
    )
    return _delivery(identity, None, callback, Callback(type="job.failed", timestamp=at, data=data))


def _delivery(identity: str, job_id: str | None, spec: CallbackSpec, body: Callback) -> NewDelivery:
    return NewDelivery(
        id=identity,
        job_id=job_id,
        event=body.type,
        url=spec.url,
        secret_name=spec.secret_name,
        body=body.model_dump_json(exclude_none=True).encode(),
    )


def _game_delivery(
    identity: str, job_id: str | None, told_id: str | None, spec: CallbackSpec, event: str, body: bytes
) -> NewDelivery | None:
    url = game_url(spec.url, told_id)
    if url is None:
        return None
    return NewDelivery(
        id=identity, job_id=job_id, event=EVENT_PREFIX + event, url=url, secret_name=spec.secret_name, body=body
    )


def _time(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(round(seconds, 3), dt.UTC)
