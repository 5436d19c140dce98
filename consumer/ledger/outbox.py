"""The outbox: callbacks that are promised and not delivered yet."""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.database import QUEUED, Database, db_now, insertion
from consumer.ledger.prepared import Prepared, given
from consumer.ledger.records import Delivery, delivery_from
from consumer.ledger.states import DeliveryState
from consumer.ledger.tables import deliveries, timeline
from consumer.ledger.timeline import note

_NAMESPACE = uuid.UUID("0c7e5c1e-6c0b-5a55-9d0f-6a4f5d0c3b1a")

# Not null: PostgreSQL reads the whole index for a comparison with its clock, so without delivered callbacks.
_IS_DUE = sa.and_(deliveries.c.due_at.is_not(None), deliveries.c.due_at <= db_now())
_ANY_DUE = sa.select(deliveries.c.id).where(_IS_DUE).limit(1)


@dataclass(frozen=True, slots=True)
class DueCallback:
    """A due callback, before it is claimed."""

    id: str
    url: str
    due_at: float
    #: Whether the last attempt got no response at all.
    unanswered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """A callback to be sent."""

    id: str
    job_id: str | None
    event: str
    url: str
    secret_name: str | None
    body: bytes


def webhook_id(*parts: object) -> str:
    """Return the ``webhook-id``, which is the same for every delivery of the same event of the same job."""
    return f"msg_{uuid.uuid5(_NAMESPACE, chr(31).join(map(str, parts))).hex}"


def enqueue(database: Database, connection: Connection, new: NewDelivery) -> None:
    """Add the callback, in the caller's transaction. Idempotent by id."""
    added = _insertion(database.dialect).execute(connection, asdict(new)).first() is not None
    connection.info[QUEUED] = True
    if added and new.job_id is not None:
        note(connection, new.job_id, "callback_queued", webhook_id=new.id, about=new.event)


@functools.cache
def _insertion(dialect: str) -> Prepared:
    columns: dict[str, Any] = {field.name: given(field.name) for field in fields(NewDelivery)}
    start = {"state": DeliveryState.PENDING.value, "attempts": 0, "epoch": 0}
    statement = insertion(dialect, deliveries).values(**columns, **start, created_at=db_now(), due_at=db_now())
    # Not the row count, which psycopg does not report for an INSERT without RETURNING.
    return Prepared(statement.on_conflict_do_nothing(index_elements=["id"]).returning(deliveries.c.id))


def list_due(database: Database, *, limit: int, after: DueCallback | None = None) -> Sequence[DueCallback]:
    """Return up to ``limit`` due callbacks, the one that was due first in front, optionally those after another one."""
    d = deliveries.c
    answered = d.last_answer.startswith("HTTP ")
    query = sa.select(d.id, d.url, d.due_at, sa.and_(d.attempts > 0, sa.not_(answered)).label("unanswered"))
    query = query.where(_IS_DUE).order_by(d.due_at, d.id).limit(limit)
    if after is not None:
        query = query.where(d.due_at >= after.due_at, sa.or_(d.due_at > after.due_at, d.id > after.id))
    with database.read() as connection:
        return [DueCallback(row.id, row.url, row.due_at, bool(row.unanswered)) for row in connection.execute(query)]


def claim_due(
    database: Database, *, limit: int, seconds: float, ids: Collection[str] | None = None
) -> Sequence[Delivery]:
    """Claim up to ``limit`` due callbacks; they become due again after ``seconds`` if this process dies with them.

    Reads before it writes: an idle outbox, which polls often, does not block writers.

    Args:
        database: The ledger.
        limit: How many to claim.
        seconds: Length of the claim.
        ids: The callbacks to claim from; by default all.
    """
    if ids is None:
        with database.read() as connection:
            if connection.execute(_ANY_DUE).first() is None:
                return []
    chosen = [] if ids is None else [deliveries.c.id.in_(ids)]
    # Durable, and with it the ends of the jobs that the callbacks report.
    with database.write(durable=True) as connection:
        due = (
            sa.select(deliveries.c.id)
            .where(_IS_DUE, *chosen)
            .order_by(deliveries.c.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")  # read once; as a plain subquery PostgreSQL may read it for every row, past the limit
        )
        statement = (
            sa.update(deliveries)
            .where(deliveries.c.id.in_(sa.select(due.c.id)))
            .values(due_at=db_now() + seconds, epoch=deliveries.c.epoch + 1)
            .returning(deliveries)
        )
        claimed = [delivery_from(row) for row in connection.execute(statement).mappings()]
        return _with_trace_contexts(connection, claimed)


def _with_trace_contexts(connection: Connection, claimed: Sequence[Delivery]) -> Sequence[Delivery]:
    """Return the deliveries with the trace contexts of their jobs' requests."""
    ids = {delivery.job_id for delivery in claimed if delivery.job_id is not None}
    t = timeline.c
    query = sa.select(t.job_id, t.detail).where(t.job_id.in_(ids), t.event == "received")
    rows = connection.execute(query.where(t.detail.contains('"traceparent"'))) if ids else ()
    traces = {row.job_id: _trace_context(json.loads(row.detail)) for row in rows}
    return [replace(delivery, trace=traces.get(delivery.job_id or "", {})) for delivery in claimed]


def _trace_context(received: Mapping[str, Any]) -> dict[str, str]:
    return {name: received[name] for name in ("traceparent", "tracestate") if name in received}


def record_attempt(
    database: Database, delivery: Delivery, state: DeliveryState, *, answer: str, retry_in: float | None
) -> bool:
    """Record one attempt. Return ``False`` if another process has claimed the delivery since.

    After a crash between the receiver's answer and this commit the callback is sent again with the same
    ``webhook-id``, by which the receiver recognises the duplicate.
    """
    delivered = state is DeliveryState.DELIVERED
    with database.write(durable=delivered) as connection:
        statement = (
            sa.update(deliveries)
            .where(deliveries.c.id == delivery.id, deliveries.c.epoch == delivery.epoch)
            .values(
                state=state.value,
                attempts=deliveries.c.attempts + 1,
                due_at=None if retry_in is None else db_now() + retry_in,
                delivered_at=db_now() if delivered else None,
                last_answer=answer[:255],
            )
        )
        if connection.execute(statement).rowcount != 1:
            return False
        if delivery.job_id is not None:
            detail: dict[str, Any] = {} if retry_in is None else {"retry_in_seconds": round(retry_in, 1)}
            note(
                connection,
                delivery.job_id,
                f"callback_{state.value}",
                webhook_id=delivery.id,
                attempt=delivery.attempts + 1,
                answer=answer[:255],
                **detail,
            )
    return True


def replay(database: Database, webhook_ids: Sequence[str], *, by: str = "an operator") -> int:
    """Make the callbacks due now, with a fresh schedule and their old ``webhook-id``; return how many."""
    with database.write(durable=True) as connection:
        statement = (
            sa.update(deliveries)
            .where(deliveries.c.id.in_(webhook_ids))
            .values(state=DeliveryState.PENDING.value, attempts=0, due_at=db_now(), epoch=deliveries.c.epoch + 1)
            .returning(deliveries.c.job_id, deliveries.c.id)
        )
        rows = connection.execute(statement).all()
        connection.info[QUEUED] = True
        for row in rows:
            if row.job_id is not None:
                note(connection, row.job_id, "callback_replayed", webhook_id=row.id, by=by)
        return len(rows)
