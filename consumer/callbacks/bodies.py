"""The bodies of callbacks. A body is built once, and every attempt sends the same bytes."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from consumer.callbacks.game import EVENT_PREFIX, REQUEST_ID, game_body, game_url, requested_url
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


def subscribes(job: Job, event: str) -> bool:
    """Return whether the request asks for the callback about the event."""
    _, spec, _ = recover_fields(json.loads(job.request))
    return spec is not None and event in spec.events


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
    provenance: Provenance | None = None,
    cost: Cost | None = None,
    retry: int = 0,
) -> NewDelivery | None:
    """Return the callback about an event of a job; ``None`` if the request does not subscribe to it.

    ``cost`` is the amount spent on a job without a result, ``retry`` how often the job was retried. In format ``game``,
    the title is ``title`` of the provenance's details.
    """
    _, spec, metadata = recover_fields(json.loads(job.request))
    if spec is None or event not in spec.events:
        return None
    provenance = provenance or Provenance()
    completed = status == "completed"
    identity = _job_webhook_id(job, event, progress)
    if spec.format == "game":
        body = game_body(completed=completed, outputs=outputs or (), details=provenance.details)
        return _game_delivery(identity, job.id, _game_url(spec, job.id, metadata), spec, event, body)
    data = CallbackData(
        **_job_fields(job, completed=completed, now=now),
        status=status,
        progress_percentage=100 if completed else (job.progress if progress is None else progress),
        outputs=None if outputs is None else list(outputs),
        plan=None if plan is None else dict(plan),
        error=None if error is None else Failure.model_validate(error.as_record()),
        provider=provenance.provider if completed else None,
        model=(provenance.model or job.type) if completed else None,
        cost=provenance.cost if completed else cost,
        metadata=metadata,
        retry=retry or None,
    )
    return _delivery(identity, job.id, spec, Callback(type=_EVENTS[event], timestamp=_time(now), data=data))


def _job_webhook_id(job: Job, event: str, progress: int | None) -> str:
    occurrence: tuple[object, ...] = (progress,) if event == "progress" else ()
    # The time is included because the same request makes another job after the first one was deleted, and because a
    # retried job, which is received again, has another ending.
    return webhook_id(job.id, job.fingerprint, job.received_at, event, *occurrence)


def _job_fields(job: Job, *, completed: bool, now: float) -> dict[str, Any]:
    started = job.started_at
    return {
        "id": job.id,
        "type": job.type,
        "created_at": _time(job.received_at),
        "started_at": None if started is None else _time(started),
        "processing_time_seconds": round(now - started, 3) if completed and started is not None else None,
    }


def dead_letter_delivery(
    *,
    message: bytes,
    request_id: str | None,
    type: str | None,  # noqa: A002 - the field's name in the contract
    status: Status,
    error: TelecineError,
    callback: CallbackSpec,
    metadata: Mapping[str, Any] | None,
    at: dt.datetime,
) -> NewDelivery | None:
    """Return the callback about a dead letter, which has no job.

    ``message`` are its bytes. The same message gets the same ``webhook-id``, so that it is reported once.
    ``None`` in format ``game`` if the request has no id that can be part of a URL.
    """
    # By content: if the door dies before it acknowledges the message, the broker delivers it again.
    identity = webhook_id("rejected", request_id, error.code, hashlib.sha256(message).hexdigest())
    if callback.format == "game":
        url = _game_url(callback, request_id, metadata)
        return _game_delivery(identity, None, url, callback, "failed", game_body(completed=False))
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


def _game_url(spec: CallbackSpec, request_id: str | None, metadata: Mapping[str, Any] | None) -> str | None:
    chosen = (metadata or {}).get(REQUEST_ID)
    return requested_url(spec.url, chosen) if isinstance(chosen, str) else game_url(spec.url, request_id)


def _game_delivery(
    identity: str, job_id: str | None, url: str | None, spec: CallbackSpec, event: str, body: bytes
) -> NewDelivery | None:
    if url is None:
        return None
    return NewDelivery(
        id=identity, job_id=job_id, event=EVENT_PREFIX + event, url=url, secret_name=spec.secret_name, body=body
    )


def _time(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(round(seconds, 3), dt.UTC)
