"""Admission: a request becomes exactly one job, even if it arrives several times or through several doors."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.database import Database, db_now
from consumer.ledger.states import State
from consumer.ledger.tables import NO_TENANT, jobs
from consumer.ledger.timeline import note_many
from schemas.envelope import CallbackSpec, Request
from schemas.errors import IdConflict
from schemas.reference import Pin
from schemas.strict_json import canonical, fingerprint

# A door publishes the wake-up right after the commit. If it dies in between, the sweep sends one after this time.
FIRST_WAKE_SECONDS = 5.0


class AdmissionOutcome(enum.Enum):
    """The result of admitting one request."""

    ADMITTED = "admitted"
    #: The same request again: counted, without effect.
    DUPLICATE = "duplicate"
    #: The same id, but other content: refused.
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two requests the same one."""

    job_id: str
    fingerprint: str
    tenant: str | None

    @classmethod
    def of(cls, request: Request) -> Identity:
        """Return the identity of a request whose tenant is resolved."""
        return cls(request.id, fingerprint(request.identity()), request.tenant)


@dataclass(frozen=True, slots=True)
class Submission:
    """A parsed request at the door."""

    request: Request
    role: str
    #: The job's priority: the request's, or that of its queue.
    priority: str
    door: str
    #: The request as canonical JSON with every default written out.
    whole: bytes
    fingerprint: str
    #: By input URI: which version of the object is meant. Belongs to the job, not to the request.
    pins: Mapping[str, Pin] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Admission:
    """The result of one submission. ``conflict`` is set for a ``CONFLICT`` only."""

    outcome: AdmissionOutcome
    job_id: str
    role: str
    priority: str
    conflict: IdConflict | None = None


def build_submission(
    request: Request,
    *,
    role: str,
    door: str,
    priority: str | None = None,
    output: str | None = None,
    callback: CallbackSpec | None = None,
) -> Submission:
    """Return the request with its fingerprint.

    ``priority``, ``output`` and ``callback`` are defaults of this installation for a request that names none. They
    belong to the job, not to its identity: through another queue it is the same request.
    """
    given = {"output": request.output or output, "callback": callback or request.callback}
    placed = request.model_copy(update=given)
    return Submission(
        request,
        role,
        priority or request.priority,
        door,
        canonical(placed.to_job_request()),
        fingerprint(request.identity()),
    )


def with_trace_context(submission: Submission, context: Mapping[str, str]) -> Submission:
    """Return the submission with a trace context, which is no part of its identity."""
    request = submission.request.model_copy(update=dict(context))
    whole = canonical({**json.loads(submission.whole), "traceparent": request.traceparent})
    return replace(submission, request=request, whole=whole)


def admit(database: Database, connection: Connection, batch: Sequence[Submission]) -> list[Admission]:
    """Insert new jobs, count duplicates and report conflicts; return the results in the batch's order.

    Takes effect when the caller's transaction is committed. After a crash before the commit the messages are
    still with their broker; after it, the broker's second copy is a duplicate.
    """
    now = float(connection.execute(sa.select(db_now())).scalar_one())
    statement = database.insert(jobs).on_conflict_do_nothing(index_elements=["id"]).returning(jobs.c.id)
    # By id: two doors that insert the same ids in different orders would wait for each other (PostgreSQL).
    rows = [_row(item, now) for item in sorted(batch, key=lambda item: item.request.id)]
    fresh = set(connection.execute(statement, rows).scalars()) if rows else set()
    known = _known(connection, [item.request.id for item in batch])
    answers: list[Admission] = []
    entries: list[tuple[str, str, dict[str, object]]] = []
    for item in batch:
        job_id = item.request.id
        if job_id in fresh:
            fresh.discard(job_id)
            outcome, conflict = AdmissionOutcome.ADMITTED, None
            entries.append((job_id, "received", _received(item)))
        elif known[job_id] == (item.fingerprint, item.request.tenant):
            outcome, conflict = AdmissionOutcome.DUPLICATE, None
            entries.append((job_id, "duplicate", {"door": item.door}))
        else:
            outcome, conflict = AdmissionOutcome.CONFLICT, _conflict(item, *known[job_id])
            entries.append((job_id, "conflict", {"door": item.door, "fingerprint": item.fingerprint}))
        answers.append(Admission(outcome, job_id, item.role, item.priority, conflict))
    _count_duplicates(connection, [a.job_id for a in answers if a.outcome is AdmissionOutcome.DUPLICATE])
    note_many(connection, now, entries)
    return answers


def absorb(connection: Connection, identity: Identity, door: str) -> bool:
    """Count the request as a duplicate if it already has a job, and return whether it has one."""
    if _known(connection, [identity.job_id]).get(identity.job_id) != (identity.fingerprint, identity.tenant):
        return False
    _count_duplicates(connection, [identity.job_id])
    now = float(connection.execute(sa.select(db_now())).scalar_one())
    note_many(connection, now, [(identity.job_id, "duplicate", {"door": door})])
    return True


def _row(item: Submission, now: float) -> dict[str, object]:
    request = item.request
    scheduled_for = request.not_before_at(now)
    return {
        "id": request.id,
        "type": request.type,
        "state": State.RECEIVED.value,
        "role": item.role,
        "priority": item.priority,
        "tenant": request.tenant,
        "fingerprint": item.fingerprint,
        "request": item.whole.decode(),
        "door": item.door,
        "received_at": now,
        "deadline_at": request.deadline_at(now),
        "not_before": max(now, scheduled_for or now),
        "wake_at": max(now + FIRST_WAKE_SECONDS, scheduled_for or now),
        "scheduled_for": scheduled_for,
        "line": (request.tenant or NO_TENANT) if (scheduled_for or now) <= now else None,
        "wakes": 0,
        "epoch": 0,
        "crashes": 0,
        "failures": 0,
        "duplicates": 0,
        "progress": 0,
        "cancel_requested": False,
        "pins": json.dumps({uri: pin.as_record() for uri, pin in item.pins.items()}) if item.pins else None,
    }


def _received(item: Submission) -> dict[str, object]:
    detail: dict[str, object] = {"door": item.door, "fingerprint": item.fingerprint}
    for name in ("source", "subject", "traceparent", "tracestate"):
        value = getattr(item.request, name)
        if value is not None:
            detail[name] = value
    if item.request.not_before is not None:
        detail["not_before"] = str(item.request.not_before)
    detail |= {f"{name}_ignored": value for name, value in item.request.ignored.items()}
    if item.request.time is not None:
        detail["time"] = item.request.time.isoformat()
    return detail


def _known(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, str | None]]:
    """Return fingerprint and tenant of the jobs with these ids."""
    query = sa.select(jobs.c.id, jobs.c.fingerprint, jobs.c.tenant).where(jobs.c.id.in_(set(ids)))
    return {row.id: (row.fingerprint, row.tenant) for row in connection.execute(query)}


def _count_duplicates(connection: Connection, ids: Sequence[str]) -> None:
    for job_id in sorted(ids):
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(duplicates=jobs.c.duplicates + 1))


def _conflict(item: Submission, known: str, tenant: str | None) -> IdConflict:
    if tenant != item.request.tenant:  # reveal nothing about another tenant's job
        return IdConflict(f"id {item.request.id!r} is taken; use ids that begin with your name", field="id")
    return IdConflict(
        f"id {item.request.id!r} belongs to another request: the first has fingerprint {known[:16]}…, "
        f"this one {item.fingerprint[:16]}…; use a new id for new content",
        field="id",
    )
