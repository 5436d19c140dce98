"""Counters that only grow: what has ended, how long it took and what it cost, also of jobs that were deleted since.

Triggers add a row to ``counter_log`` for each event, in the transaction of the event. ``add_up`` moves rows from the
log into ``counters`` in one transaction, so that each is counted once, however many processes do it and whenever one
dies. The value of a counter is what both tables hold at one moment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.database import Database
from consumer.ledger.states import OPEN, CallState, DeliveryState
from consumer.ledger.tables import counter_log, counters, jobs

#: The upper limits of the histograms' buckets, in seconds; the last bucket has no limit.
BUCKETS_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
#: How many rows of the log one transaction adds up.
BATCH = 2000

#: Counters by name and label values; seconds and US dollars are in millionths.
Counters = dict[tuple[str, tuple[str, ...]], int]


def add_up(database: Database, tenants: Collection[str] = (), *, limit: int = BATCH) -> int:
    """Move up to ``limit`` rows from the log into the counters, and return how many there were."""
    with database.read() as connection:
        if connection.execute(sa.select(counter_log.c.seq).limit(1)).first() is None:
            return 0  # nothing is locked
    with database.write() as connection:
        # Kinds that a later version writes are left to it.
        known = counter_log.c.kind.in_(sorted(_COUNT))
        some = sa.select(counter_log.c.seq).where(known).order_by(counter_log.c.seq).limit(limit)
        taken = some.with_for_update(skip_locked=True).cte("taken")  # read once
        statement = sa.delete(counter_log).where(counter_log.c.seq.in_(sa.select(taken.c.seq)))
        rows = connection.execute(statement.returning(*_columns(sa.literal(1), lambda column: column))).all()
        _store(database, connection, _counted(rows, tenants))
    return len(rows)


def read_counters(database: Database, tenants: Collection[str] = ()) -> Counters:
    """Return all counters, and how many jobs were received, of one moment.

    Args:
        database: The ledger.
        tenants: The tenants with counters of their own. All others share those with an empty name: without tenants in
            the settings, the name is any text from a producer.
    """
    with database.read() as connection:
        if database.dialect == "postgresql":
            # Otherwise a row that another process adds up between the queries would be in neither of them.
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        found = {
            (row.name, tuple(json.loads(row.labels))): int(row.value) for row in connection.execute(sa.select(counters))
        }
        columns = _columns(sa.func.count(), lambda column: sa.func.sum(column))
        keys = [column for column in columns if column.name not in _SUMS]
        uncounted = sa.select(*columns).where(counter_log.c.kind.in_(sorted(_COUNT))).group_by(*keys)
        _add(found, _counted(connection.execute(uncounted), tenants))
        is_open = jobs.c.state.in_([state.value for state in OPEN])
        open_jobs = sa.select(jobs.c.type, sa.func.count()).where(is_open).group_by(jobs.c.type)
        _add(found, {("jobs_received", (kind,)): number for kind, number in connection.execute(open_jobs)})
    _add(found, _received(found))
    return found


#: The columns that are added; the others say what is counted.
_SUMS = ("number", "wait", "run", "amount", "unpriced")


def _columns(number: Any, total: Callable[[Any], Any]) -> list[sa.ColumnElement[Any]]:
    """Return what is read of the log, with the histograms' buckets in place of single times."""
    c = counter_log.c
    return [
        *(c.kind, c.name, c.state, c.detail, c.tenant),
        _bucket(c.wait).label("wait_bucket"),
        _bucket(c.run).label("run_bucket"),
        number.label("number"),
        total(_not_negative(c.wait)).label("wait"),
        total(_not_negative(c.run)).label("run"),
        total(c.amount).label("amount"),
        total(sa.case((c.amount == 0, 1), else_=0)).label("unpriced"),
    ]


def _bucket(seconds: sa.ColumnElement[float]) -> sa.ColumnElement[int]:
    """Return the SQL for the number of the bucket, or null. Limits are literals, because the columns are grouped."""
    limits: list[tuple[Any, Any]] = [
        (seconds <= _literal(limit), _literal(n)) for n, limit in enumerate(BUCKETS_SECONDS)
    ]
    return sa.case(*limits, (seconds.is_not(None), _literal(len(BUCKETS_SECONDS))))


def _literal(number: float) -> sa.ColumnElement[Any]:
    return sa.literal_column(str(number))


def _not_negative(seconds: sa.ColumnElement[float]) -> sa.ColumnElement[float]:
    """Return the SQL for the time, or 0 if the database's clock was set back in between."""
    return sa.case((seconds < 0, 0.0), else_=seconds)


def _counted(rows: Iterable[Any], tenants: Collection[str]) -> Counters:
    found: Counters = {}
    for row in rows:
        tenant = row.tenant if row.tenant in tenants else ""
        _add(found, _COUNT[row.kind](row, tenant))
    return found


def _job(row: Any, tenant: str) -> Counters:
    found: Counters = {
        ("jobs_ended", (row.name, row.state, row.detail or "", tenant)): row.number,
        ("result_bytes", (row.name,)): int(row.amount or 0),
    }
    _add(found, _histogram("job_wait", (row.name,), row.number, row.wait_bucket, row.wait))
    _add(found, _histogram("job_run", (row.name, row.state), row.number, row.run_bucket, row.run))
    return found


def _attempt(row: Any, tenant: str) -> Counters:
    return {("failed_attempts", (row.name, row.state)): row.number}


def _callback(row: Any, tenant: str) -> Counters:
    found: Counters = {("callback_attempts", (row.state,)): row.number}
    if row.state == DeliveryState.DELIVERED:
        _add(found, _histogram("callback_delivery", (), row.number, row.wait_bucket, row.wait))
    return found


def _call(row: Any, tenant: str) -> Counters:
    found: Counters = {
        ("calls_ended", (row.name, row.detail, row.state)): row.number,
        ("spent", (row.name, row.detail, tenant)): int(row.amount or 0),
    }
    if row.state == CallState.DONE:
        found["unpriced_calls", (row.name, row.detail, tenant)] = int(row.unpriced)
    _add(found, _histogram("call", (row.name,), row.number, row.run_bucket, row.run))
    return found


def _call_failure(row: Any, tenant: str) -> Counters:
    return {("call_failures", (row.name, row.detail)): row.number}


def _dead_letter(row: Any, tenant: str) -> Counters:
    return {("dead_letters", (row.detail,)): row.number}


_COUNT: Mapping[str, Callable[[Any, str], Counters]] = {
    "job": _job,
    "attempt": _attempt,
    "callback": _callback,
    "call": _call,
    "call_failure": _call_failure,
    "dead_letter": _dead_letter,
}


def _histogram(name: str, labels: tuple[str, ...], number: int, bucket: int | None, seconds: float | None) -> Counters:
    """Return the additions for one bucket and the sum; nothing for what never began."""
    if bucket is None or seconds is None:
        return {}
    return {
        (f"{name}_bucket", (*labels, str(bucket))): number,
        (f"{name}_micros", labels): round(seconds * 1_000_000),
    }


def _received(found: Counters) -> Counters:
    """Return how many jobs were received: those that have ended, next to the open ones that are counted already."""
    ended: Counters = {}
    for (name, labels), number in found.items():
        if name == "jobs_ended":
            _add(ended, {("jobs_received", (labels[0],)): number})
    return ended


def _add(found: Counters, more: Counters) -> None:
    for key, number in more.items():
        found[key] = found.get(key, 0) + number


def _store(database: Database, connection: Connection, counted: Counters) -> None:
    """Add to the stored counters, in a fixed order so that two processes do not wait for each other."""
    rows = [
        {"name": name, "labels": json.dumps(labels), "value": value}
        for (name, labels), value in sorted(counted.items())
        if value
    ]
    if not rows:
        return
    statement = database.insert(counters)
    more = counters.c.value + statement.excluded.value
    connection.execute(statement.on_conflict_do_update(index_elements=["name", "labels"], set_={"value": more}), rows)
