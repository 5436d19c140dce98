"""Calls of remote providers, as the worker sees them: wanted once, read when they have ended.

A call is written down together with the parking of its job, before anything is sent. The engine
(``consumer.calls``) does the rest; nothing here touches a socket.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from consumer.ledger.database import Database, db_now
from consumer.ledger.leases import move
from consumer.ledger.records import Lease
from consumer.ledger.states import SETTLED, CallState, State
from consumer.ledger.tables import calls
from consumer.ledger.timeline import note

_NAMESPACE = uuid.UUID("3a0f7d64-6a55-5bb0-9a52-93c1f4a0e9d7")

#: For a job that waits until the engine wakes it.
_FAR_SECONDS = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may answer, and what it would be given."""

    model: str
    provider: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSpec:
    """What a step wants. Plain JSON in the ledger, so that any engine can carry it out."""

    #: In the order of preference; never empty.
    candidates: Sequence[Candidate]
    #: ``{"model", "why"}`` of those that were passed over.
    losers: Sequence[Mapping[str, str]] = ()
    #: ``{"uri", "content_type", "bytes", "sha256"}`` by name; with ``pin`` where it is known which content is meant.
    inputs: Mapping[str, Mapping[str, Any]]
    #: ``{"name", "kinds"}`` of the file that is wanted, if one is.
    wanted: Mapping[str, Any] | None = None
    #: The folder of the job's results.
    output: str
    fingerprint: str
    #: Seconds of media, for prices by the second.
    seconds: float | None = None
    type: str

    def as_json(self) -> str:
        """The order as it lies in the ledger."""
        record = {name: getattr(self, name) for name in self.__slots__}
        record["candidates"] = [{"model": c.model, "provider": c.provider, "parameters": dict(c.parameters)}
                                for c in self.candidates]  # fmt: skip
        return json.dumps(record, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> CallSpec:
        """The order again."""
        record = json.loads(text)
        record["candidates"] = [Candidate(**item) for item in record["candidates"]]
        return cls(**record)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """One call as it stands."""

    #: The key.
    id: str
    job_id: str
    step: str
    attempt: int
    provider: str
    model: str
    tenant: str
    urgency: int
    state: CallState
    order: CallSpec
    task: Mapping[str, Any] | None
    due_at: float | None
    lease_until: float | None
    lease_owner: str | None
    epoch: int
    queued_at: float
    submitted_at: float | None
    finished_at: float | None
    give_up_at: float | None
    polls: int
    failures: int
    cancel_requested: bool
    reserved: int
    spent: int
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None

    @property
    def settled(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in SETTLED

    @property
    def candidate(self) -> Candidate:
        """The model whose turn it is."""
        return self.order.candidates[0]


def key_of(job_id: str, fingerprint: str, step: str, attempt: int) -> str:
    """The key of a call: the same for the same attempt, whoever computes it and however often."""
    return uuid.uuid5(_NAMESPACE, "\0".join((job_id, fingerprint, step, str(attempt)))).hex


def latest(database: Database, job_id: str, step: str) -> CallRow | None:
    """The step's newest call."""
    with database.read() as connection:
        return _latest(connection, job_id, step)


def of_job(database: Database, job_id: str) -> list[CallRow]:
    """Every call of the job, in the order in which they were wanted."""
    query = sa.select(calls).where(calls.c.job_id == job_id).order_by(calls.c.queued_at, calls.c.attempt)
    with database.read() as connection:
        return [call_from(row) for row in connection.execute(query).mappings()]


def enqueue_and_park(
    database: Database, lease: Lease, step: str, order: CallSpec, *, tenant: str | None, urgency: int
) -> None:
    """Writes the first call of a step and parks the job, durably and together.

    A crash before this commit leaves nothing; after it, the engine goes on without the worker.

    Raises:
        LeaseLost: another worker has the job.
    """
    with database.write(durable=True) as connection:
        _park(connection, lease)
        insert_call(database, connection, lease.job_id, step, 1, order, tenant=tenant or "", urgency=urgency)
        note(connection, lease.job_id, "parked", epoch=lease.epoch, step=step)


def park_unless_settled(database: Database, lease: Lease, step: str) -> CallRow | None:
    """Parks the job again while its call goes on; the call, if it has ended meanwhile: then nothing was parked.

    Raises:
        LeaseLost: another worker has the job.
    """
    with database.write() as connection:
        _park(connection, lease)  # first: whoever ends the call waits for the job's row
        row = _latest(connection, lease.job_id, step)
        assert row is not None
        if row.settled:
            connection.rollback()
            return row
    return None


def insert_call(
    database: Database,
    connection: Connection,
    job_id: str,
    step: str,
    attempt: int,
    order: CallSpec,
    *,
    tenant: str,
    urgency: int,
) -> None:
    """Inserts a call that is due now. The same call again changes nothing."""
    first = order.candidates[0]
    values = {
        "id": key_of(job_id, order.fingerprint, step, attempt),
        "job_id": job_id,
        "step": step,
        "attempt": attempt,
        "provider": first.provider,
        "model": first.model,
        "tenant": tenant,
        "urgency": urgency,
        "state": CallState.QUEUED.value,
        "request": order.as_json(),
        "due_at": db_now(),
        "queued_at": db_now(),
    }
    defaults = {"epoch": 0, "polls": 0, "failures": 0, "cancel_requested": False, "reserved": 0, "spent": 0}
    statement = database.insert(calls).values(**values, **defaults)
    connection.execute(statement.on_conflict_do_nothing(index_elements=["id"]))
    note(connection, job_id, "model_chosen", step=step, model=first.model, provider=first.provider,
         passed_over=list(order.losers))  # fmt: skip


def stop_calls(connection: Connection, job_id: str) -> None:
    """The job has ended without needing its calls: what was not sent never will be, the rest is cancelled."""
    ours = calls.c.job_id == job_id
    connection.execute(
        sa.update(calls)
        .where(ours, calls.c.state == CallState.QUEUED.value)
        .values(state=CallState.CANCELLED.value, due_at=None, finished_at=db_now())
    )
    running = [CallState.SUBMITTING.value, CallState.WORKING.value, CallState.FETCHING.value, CallState.UNKNOWN.value]
    connection.execute(
        sa.update(calls).where(ours, calls.c.state.in_(running)).values(cancel_requested=True, due_at=db_now())
    )


def call_from(row: RowMapping | Mapping[str, Any]) -> CallRow:
    """The record of a row of ``calls``."""
    values = {name: row[name] for name in CallRow.__slots__ if name != "order"}
    for name in ("task", "result", "error"):
        values[name] = None if row[name] is None else json.loads(row[name])
    values["state"] = CallState(row["state"])
    values["cancel_requested"] = bool(row["cancel_requested"])
    return CallRow(order=CallSpec.from_json(row["request"]), **values)


def _latest(connection: Connection, job_id: str, step: str) -> CallRow | None:
    query = sa.select(calls).where(calls.c.job_id == job_id, calls.c.step == step).order_by(calls.c.attempt.desc())
    row = connection.execute(query.limit(1)).mappings().first()
    return None if row is None else call_from(row)


def _park(connection: Connection, lease: Lease) -> None:
    now = float(connection.execute(sa.select(db_now())).scalar_one())
    # Nobody looks at the job before its call is settled, which wakes it in the same transaction: ten thousand
    # parked jobs are in nobody's way.
    move(
        connection, lease, State.WAITING, lease_owner=None, lease_until=None, wakes=0,
        not_before=now + _FAR_SECONDS, wake_at=None,
    )  # fmt: skip
