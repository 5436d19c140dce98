"""Queries over calls: totals for `telecine providers` and the metrics, and their traces."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from consumer.ledger.call_records import CallRow, read_calls
from consumer.ledger.database import Database
from consumer.ledger.states import SETTLED, CallState
from consumer.ledger.tables import calls, timeline


def count_calls(database: Database) -> dict[tuple[str, str], int]:
    """Return the number of calls by provider and state."""
    query = sa.select(calls.c.provider, calls.c.state, sa.func.count()).group_by(calls.c.provider, calls.c.state)
    with database.read() as connection:
        return {(provider, state): number for provider, state, number in connection.execute(query)}


def count_open_calls(database: Database) -> dict[tuple[str, str], int]:
    """Return the number of calls that have not ended, by provider and state."""
    query = sa.select(calls.c.provider, calls.c.state, sa.func.count()).where(calls.c.finished_at.is_(None))
    with database.read() as connection:
        rows = connection.execute(query.group_by(calls.c.provider, calls.c.state))
        return {(provider, state): number for provider, state, number in rows}


def spent_by_tenant(
    database: Database, since: float, *, of: Sequence[str] | None = None, other_than: Sequence[str] = ()
) -> dict[str, int]:
    """Return what calls submitted since then have spent or reserved, by tenant, in micro-dollars."""
    money = sa.func.sum(calls.c.spent + calls.c.reserved)
    chosen = calls.c.tenant.not_in(other_than) if of is None else calls.c.tenant.in_(of)
    query = sa.select(calls.c.tenant, money).where(calls.c.submitted_at >= since, chosen).group_by(calls.c.tenant)
    with database.read() as connection:
        return {tenant: int(micros or 0) for tenant, micros in connection.execute(query)}


def spent_since(database: Database, since: float) -> dict[tuple[str, str], int]:
    """Return what calls submitted since then have spent or reserved, by provider and tenant, in micro-dollars."""
    money = sa.func.sum(calls.c.spent + calls.c.reserved)
    query = sa.select(calls.c.provider, calls.c.tenant, money).where(calls.c.submitted_at >= since)
    with database.read() as connection:
        rows = connection.execute(query.group_by(calls.c.provider, calls.c.tenant))
        return {(provider, tenant): int(micros or 0) for provider, tenant, micros in rows}


def with_unknown_outcome(database: Database, job_ids: Sequence[str]) -> frozenset[str]:
    """Return those of the jobs that have a call with an unknown outcome."""
    if not job_ids:
        return frozenset()
    query = sa.select(calls.c.job_id).where(
        calls.c.job_id.in_(job_ids), calls.c.state == CallState.UNKNOWN.value, calls.c.cancel_requested.is_(False)
    )
    with database.read() as connection:
        return frozenset(connection.execute(query).scalars())


def with_open_call(database: Database, job_ids: Sequence[str]) -> frozenset[str]:
    """Return those of the jobs that have a call that has not ended."""
    if not job_ids:
        return frozenset()
    query = open_calls().where(calls.c.job_id.in_(job_ids))
    with database.read() as connection:
        return frozenset(connection.execute(query).scalars())


def open_calls() -> sa.Select[Any]:
    """Return the query for the ids of the jobs that have a call that has not ended."""
    return sa.select(calls.c.job_id).where(calls.c.state.not_in([state.value for state in SETTLED]))


def unknown_costs_since(database: Database, since: float, free: Collection[str]) -> dict[str, int]:
    """Count, by provider, the calls submitted since then that gave a result at an unknown price.

    ``free`` are the models whose calls cost nothing.
    """
    unknown = (calls.c.state == CallState.DONE.value, calls.c.spent == 0, calls.c.model.not_in(sorted(free)))
    query = sa.select(calls.c.provider, sa.func.count()).where(calls.c.submitted_at >= since, *unknown)
    with database.read() as connection:
        return {row[0]: row[1] for row in connection.execute(query.group_by(calls.c.provider))}


def by_provider(money: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Return the sum over all tenants, by provider."""
    total: dict[str, int] = {}
    for (provider, _), micros in money.items():
        total[provider] = total.get(provider, 0) + micros
    return total


def list_calls(
    database: Database, *, providers: Sequence[str], states: Sequence[CallState], limit: int = 200
) -> list[CallRow]:
    """Return the calls of these providers in these states that are not being cancelled, oldest first."""
    query = sa.select(calls).where(
        calls.c.provider.in_(providers),  # the index begins with it
        calls.c.state.in_([state.value for state in states]),
        calls.c.cancel_requested.is_(False),
    )
    with database.read() as connection:
        return read_calls(connection.execute(query.order_by(calls.c.queued_at).limit(limit)).mappings())[0]


def enqueuing_span(database: Database, job_id: str, step: str) -> dict[str, str]:
    """Return the trace context of the attempt that last enqueued a call of the step; empty if it made no spans."""
    query = sa.select(timeline.c.detail).where(timeline.c.job_id == job_id, timeline.c.event == "parked")
    with database.read() as connection:
        for text in connection.execute(query.order_by(timeline.c.seq.desc())).scalars():
            detail = json.loads(text or "{}")
            if detail.get("step") == step:
                return {name: detail[name] for name in ("traceparent", "tracestate") if name in detail}
    return {}
