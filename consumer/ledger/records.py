"""The ledger's rows as frozen records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping

from consumer.ledger.states import TERMINAL, DeliveryState, State, StepState
from schemas.envelope import PRIORITIES, Request
from schemas.errors import InternalError
from schemas.parse import parse_mapping
from schemas.reference import Pin


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One accepted request and its progress."""

    id: str
    type: str
    state: State
    role: str
    priority: str
    tenant: str | None
    fingerprint: str
    #: The request as canonical JSON.
    request: str
    door: str
    received_at: float
    started_at: float | None
    finished_at: float | None
    deadline_at: float | None
    not_before: float
    wake_at: float | None
    lease_until: float | None
    lease_owner: str | None
    epoch: int
    crashes: int
    failures: int
    duplicates: int
    progress: int
    cancel_requested: bool
    outcome: dict[str, Any] | None
    error: dict[str, Any] | None
    #: By URI, for a job made from an upload: which version of the object is meant. Empty for all others.
    pins: Mapping[str, Pin]

    @property
    def terminal(self) -> bool:
        """Whether it has ended."""
        return self.state in TERMINAL

    @property
    def urgency(self) -> int:
        """Its rank among the priorities; 0 is the most urgent."""
        return PRIORITIES.index(self.priority)

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
    epoch: int
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One named step of a job. ``result`` is set once it is ``done``."""

    name: str
    state: StepState
    started_at: float
    finished_at: float | None
    result: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One event in a job's timeline. ``event`` is a stable name."""

    at: float
    event: str
    epoch: int | None
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One callback and the state of its delivery."""

    #: The ``webhook-id``: the same for every attempt.
    id: str
    job_id: str | None
    event: str
    url: str
    secret_name: str | None
    body: bytes
    state: DeliveryState
    attempts: int
    created_at: float
    due_at: float | None
    epoch: int
    delivered_at: float | None
    last_answer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that never became a job, with its original bytes."""

    seq: int
    at: float
    door: str
    source: str
    request_id: str | None
    code: str
    message: str
    body: bytes
    headers: dict[str, Any]
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


def delivery_from(row: RowMapping | Mapping[str, Any]) -> Delivery:
    """Return the record of a row of ``deliveries``."""
    values = {name: row[name] for name in Delivery.__slots__}
    values["state"] = DeliveryState(row["state"])
    values["body"] = bytes(row["body"])
    return Delivery(**values)


def dead_letter_from(row: RowMapping | Mapping[str, Any]) -> DeadLetter:
    """Return the record of a row of ``rejections``."""
    values = {name: row[name] for name in DeadLetter.__slots__}
    values["body"] = bytes(row["body"])
    values["headers"] = json.loads(row["headers"])
    return DeadLetter(**values)
