"""The ledger's rows as frozen records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping

from consumer.ledger.states import TERMINAL, DeliveryState, State, StepState
from schemas.envelope import PRIORITIES, Request
from schemas.errors import InternalError
from schemas.parse import parse_mapping
from schemas.reference import Pin


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One accepted request and its progress. Times are epoch seconds of the database's clock."""

    #: The id of the request, chosen by its producer.
    id: str
    #: The job type, such as ``reel``.
    type: str
    state: State
    #: The kind of worker that runs it: ``io``, ``render`` or ``gpu``. Set on admission.
    role: str
    #: One of ``PRIORITIES``: the request's own, or that of the queue it came from.
    priority: str
    #: The tenant that the job belongs to; ``None`` if the request has none.
    tenant: str | None
    #: SHA-256 of what identifies the request. The same id with another fingerprint is a conflict.
    fingerprint: str
    #: The request as canonical JSON, with every default written out.
    request: str
    #: The door through which it was first received, such as ``amqp``.
    door: str
    #: When it was admitted.
    received_at: float
    #: When a worker first claimed it.
    started_at: float | None
    #: When it reached a terminal state.
    finished_at: float | None
    #: When it expires if it has not ended; ``None`` for never.
    deadline_at: float | None
    #: It cannot be claimed before this time. Set when it is parked.
    not_before: float
    #: When the sweep wakes it next; ``None`` once it is terminal or parked for a call.
    wake_at: float | None
    #: When the lease expires; renewed by the heartbeat. ``None`` if no worker holds it.
    lease_until: float | None
    #: The process that holds the lease (see ``owner.this_process``). Kept after a crash, until the next claim.
    lease_owner: str | None
    #: The fencing number: incremented by every claim, and named by every write of the worker that holds the lease.
    epoch: int
    #: How often a worker lost it without releasing the lease. Counted by the next claim.
    crashes: int
    #: How many attempts ended with an error that is retried.
    failures: int
    #: How often the same request was received again.
    duplicates: int
    #: Percent, 0 to 100; never decreases.
    progress: int
    #: Whether cancellation was requested. The worker learns of it by its heartbeat, else the sweep ends the job.
    cancel_requested: bool
    #: The result of a completed job.
    outcome: dict[str, Any] | None
    #: The error of a job that failed, expired or was cancelled.
    error: dict[str, Any] | None
    #: By URI, for a job made from an upload: which version of the object is meant. Empty for all others.
    pins: Mapping[str, Pin]
    #: When the deletion of its results began; ``None`` if they are kept.
    results_deleted_at: float | None = None
    #: The time before which the request must not start; ``None`` if it names none.
    scheduled_for: float | None = None

    @property
    def terminal(self) -> bool:
        """Whether it has ended."""
        return self.state in TERMINAL

    @property
    def urgency(self) -> int:
        """Its rank among the priorities; 0 is the most urgent."""
        return PRIORITIES.index(self.priority)

    def trace_context(self) -> dict[str, str]:
        """Return the request's ``traceparent`` by name; empty if it has none."""
        parent = json.loads(self.request).get("traceparent")
        return {"traceparent": parent} if isinstance(parent, str) else {}

    def parsed(self) -> Request:
        """Parse the stored request."""
        request = parse_mapping(json.loads(self.request))
        if not isinstance(request, Request):
            raise InternalError(f"job {self.id} holds no request")
        return request


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run one job for a limited time. Every write of its holder names the epoch, its fencing number."""

    job_id: str
    #: The job's epoch when the lease was taken.
    epoch: int
    #: The process that took it.
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One named step of a job."""

    #: Unique within the job.
    name: str
    state: StepState
    #: When its last attempt began.
    started_at: float
    #: When its result was recorded.
    finished_at: float | None
    #: Set once it is ``done``: any JSON value.
    result: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One event in a job's timeline."""

    at: float
    #: A stable name, such as ``claimed``.
    event: str
    #: The lease under which it was written, or ``None`` if no worker wrote it.
    epoch: int | None
    #: What the event is about, by name.
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One callback and the state of its delivery."""

    #: The ``webhook-id``: the same for every attempt.
    id: str
    #: The job it is about; ``None`` for a callback about a dead letter.
    job_id: str | None
    #: The event that it reports, such as ``job.completed``.
    event: str
    url: str
    #: The name of the secret that signs it; ``None`` for the default.
    secret_name: str | None
    #: The body that is sent, byte for byte.
    body: bytes
    state: DeliveryState
    #: How many attempts were recorded since it was created or replayed.
    attempts: int
    created_at: float
    #: When it is sent next, or may be claimed again if its sender dies; ``None`` once it has ended.
    due_at: float | None
    #: The fencing number: incremented by every claim, and named when the attempt is recorded.
    epoch: int
    #: When the receiver acknowledged it.
    delivered_at: float | None
    #: The receiver's last response or the last error, at most 255 characters.
    last_answer: str | None
    #: The trace context of the job's request; only set for a delivery that was claimed to be sent.
    trace: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that never became a job, with its original bytes."""

    #: Its number, in the order of arrival.
    seq: int
    #: When it was recorded.
    at: float
    #: The door through which it was received, such as ``amqp``.
    door: str
    #: Where the door received it, such as a queue or a file name.
    source: str
    #: The id in the message, if one could be read.
    request_id: str | None
    #: The code and message of the error for which it was refused.
    code: str
    message: str
    #: The message as received, at most ``KEPT_BYTES``.
    body: bytes
    #: The message's headers or properties.
    headers: dict[str, Any]
    #: When an operator replayed it; ``None`` while it waits for one.
    replayed_at: float | None


def job_from(row: RowMapping | Mapping[str, Any]) -> Job:
    """Return the record of a row of ``jobs``."""
    values = {name: row[name] for name in Job.__slots__}
    values["state"] = State(row["state"])
    values["cancel_requested"] = bool(row["cancel_requested"])
    for name in ("outcome", "error"):
        values[name] = None if row[name] is None else json.loads(row[name])
    values["pins"] = {uri: Pin(**pin) for uri, pin in json.loads(row["pins"] or "{}").items()}
    return Job(**values)


def timeline_entry_from(row: RowMapping | Mapping[str, Any]) -> TimelineEntry:
    """Return the record of a row of ``timeline``."""
    return TimelineEntry(at=row["at"], event=row["event"], epoch=row["epoch"], detail=json.loads(row["detail"] or "{}"))


def delivery_from(row: RowMapping | Mapping[str, Any]) -> Delivery:
    """Return the record of a row of ``deliveries``."""
    values = {name: row[name] for name in Delivery.__slots__ if name != "trace"}
    values["state"] = DeliveryState(row["state"])
    values["body"] = bytes(row["body"])
    return Delivery(**values)


def dead_letter_from(row: RowMapping | Mapping[str, Any]) -> DeadLetter:
    """Return the record of a row of ``rejections``."""
    values = {name: row[name] for name in DeadLetter.__slots__}
    values["body"] = bytes(row["body"])
    values["headers"] = json.loads(row["headers"])
    return DeadLetter(**values)
