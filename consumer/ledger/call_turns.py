"""Which queued calls of a provider are submitted next: the most urgent ones, and among those tenants take turns."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.database import db_now
from consumer.ledger.states import OPEN, CallState
from consumer.ledger.tables import calls, jobs
from consumer.ledger.turns import MANY_LINES, Turns, in_turn
from schemas.envelope import PRIORITIES


def job_is_open() -> sa.ColumnElement[bool]:
    """Return the SQL condition that the call's job has not ended."""
    open_states = [state.value for state in OPEN]
    return sa.select(jobs.c.id).where(jobs.c.id == calls.c.job_id, jobs.c.state.in_(open_states)).exists()


_DUE = (
    calls.c.provider == sa.bindparam("provider"),
    calls.c.state == CallState.QUEUED.value,
    calls.c.urgency == sa.bindparam("urgency"),
    calls.c.finished_at.is_(None),
    calls.c.due_at <= db_now(),
    job_is_open(),
)


def _build_walk(begin: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Return the query for tenants with due calls in their order: a step along the index ``ix_calls_open`` for each."""
    first = sa.select(calls.c.tenant).where(*_DUE, begin).order_by(calls.c.tenant).limit(1).scalar_subquery()
    walk = sa.select(first.label("tenant")).cte("walk", recursive=True)
    after = sa.select(calls.c.tenant).where(*_DUE, calls.c.tenant > walk.c.tenant).order_by(calls.c.tenant).limit(1)
    step = sa.select(after.scalar_subquery().label("tenant")).where(walk.c.tenant.is_not(None))
    return sa.select(walk.union_all(step).c.tenant).limit(sa.bindparam("count"))


# Built once: building a statement costs more than sending it.
_AFTER, _FROM_START = _build_walk(calls.c.tenant > sa.bindparam("after")), _build_walk(calls.c.tenant >= "")
_OF_TENANT = (
    sa.select(calls.c.id)
    .where(*_DUE, calls.c.tenant == sa.bindparam("tenant"))
    .order_by(calls.c.queued_at, calls.c.id)
    .limit(sa.bindparam("count"))
)


def next_ids(connection: Connection, provider: str, room: int, turns: Turns) -> list[str]:
    """Return the ids of up to ``room`` calls whose turn it is, in the order of their turns."""
    ids: list[str] = []
    for urgency in range(len(PRIORITIES)):
        if len(ids) < room:
            ids += _of_urgency(connection, {"provider": provider, "urgency": urgency}, room - len(ids), turns)
    return ids


def _of_urgency(connection: Connection, due: dict[str, Any], room: int, turns: Turns) -> list[str]:
    queue = (due["provider"], str(due["urgency"]))
    after = {"after": turns.last(queue)}
    tenants: dict[str, None] = {}
    for walk, more in ((_AFTER, after), (_FROM_START, {})):
        if len(tenants) < room:
            found = connection.execute(walk, {**due, **more, "count": room}).scalars()
            tenants |= dict.fromkeys(tenant for tenant in found if tenant is not None)
    chosen = list(tenants)[:room]
    each = room if len(chosen) < MANY_LINES else -(-room // len(chosen))
    lines = {
        tenant: connection.execute(_OF_TENANT, {**due, "tenant": tenant, "count": each}).scalars().all()
        for tenant in chosen
    }
    if chosen:
        turns.served(queue, chosen[-1])  # there is room for one of each
    return in_turn(lines.values(), room)
