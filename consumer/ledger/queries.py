"""Read-only queries of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from consumer.ledger.call_queries import open_calls
from consumer.ledger.database import Database, db_now
from consumer.ledger.pauses import has_paused_type
from consumer.ledger.records import Delivery, Job, TimelineEntry, delivery_from, job_from, timeline_entry_from
from consumer.ledger.states import OPEN, TERMINAL, DeliveryState, State
from consumer.ledger.tables import ERROR_CODE, JOB, NOT_DELIVERED, calls, deliveries, jobs, rejections, timeline


def find_job(database: Database, job_id: str) -> Job | None:
    """Return the job, or ``None``."""
    with database.read() as connection:
        row = connection.execute(sa.select(*JOB).where(jobs.c.id == job_id)).mappings().first()
    return None if row is None else job_from(row)


def waiting_jobs(database: Database, job_ids: Sequence[str]) -> Sequence[Job]:
    """Return those of the jobs that are parked, without an order."""
    query = sa.select(*JOB).where(jobs.c.id.in_(job_ids), jobs.c.state == State.WAITING.value)
    with database.read() as connection:
        return [job_from(row) for row in connection.execute(query).mappings()]


def tenant_of(database: Database, job_id: str) -> str | None:
    """Return the job's tenant; ``None`` if it has none, or does not exist."""
    with database.read() as connection:
        tenant: str | None = connection.execute(sa.select(jobs.c.tenant).where(jobs.c.id == job_id)).scalar()
    return tenant


def list_jobs(
    database: Database,
    *,
    states: Sequence[str] = (),
    at_work: bool | None = None,
    tenant: str | None = None,
    type_: str | None = None,
    code: str | None = None,
    since: float | None = None,
    before: tuple[float, str] | None = None,
    limit: int = 20,
) -> Sequence[Job]:
    """Return jobs, newest first: all, or those with this state, tenant, type and error code, received since then.

    ``at_work`` chooses among those that are ``waiting``: ``False`` for a retry that is not due yet, ``True`` otherwise.
    ``before`` is time of receipt and id of a job; those that follow it in the list are returned.
    """
    conditions = jobs_with(database, tenant, type_, code, since)
    if before is not None:
        at, job_id = before
        same = sa.and_(jobs.c.received_at == at, jobs.c.id > job_id)
        conditions += [jobs.c.received_at <= at, sa.or_(jobs.c.received_at < at, same)]
    if at_work is not None:
        retried = sa.and_(
            jobs.c.wake_at.is_not(None),
            jobs.c.not_before > db_now(),
            ~open_calls().where(calls.c.job_id == jobs.c.id).exists(),
        )
        conditions.append(sa.or_(jobs.c.state != State.WAITING.value, ~retried if at_work else retried))
    if code is None and tenant is None and type_ is not None and not states:
        states = [state.value for state in State]
    with database.read() as connection:
        return [job_from(row) for row in connection.execute(_newest(conditions, states, limit)).mappings()]


def _newest(conditions: Sequence[sa.ColumnElement[bool]], states: Sequence[str], limit: int) -> sa.Select[Any]:
    """Return the query for the newest jobs. An index has the jobs of one state in order, so each state is a query."""

    def newest(*of_state: sa.ColumnElement[bool]) -> sa.Select[Any]:
        query = sa.select(*JOB).where(*conditions, *of_state)
        return query.order_by(jobs.c.received_at.desc(), jobs.c.id).limit(limit)

    if not states:
        return newest()
    found = sa.union_all(*(sa.select(newest(jobs.c.state == state).subquery()) for state in states)).subquery()
    return sa.select(found).order_by(found.c.received_at.desc(), found.c.id).limit(limit)


def job_ids(
    database: Database,
    *,
    states: Sequence[str] = (),
    tenant: str | None = None,
    type_: str | None = None,
    code: str | None = None,
    since: float | None = None,
    limit: int | None = None,
) -> Sequence[str]:
    """Return the ids of the jobs that ``list_jobs`` would return without its limit, oldest first; at most ``limit``."""
    conditions = jobs_with(database, tenant, type_, code, since)
    if states:
        conditions.append(jobs.c.state.in_(states))
    with database.read() as connection:
        query = sa.select(jobs.c.id).where(*conditions).order_by(jobs.c.received_at, jobs.c.id).limit(limit)
        return list(connection.execute(query).scalars())


def jobs_with(
    database: Database, tenant: str | None, type_: str | None, code: str | None, since: float | None
) -> list[sa.ColumnElement[bool]]:
    """Return the conditions for jobs with this tenant, type and error code, received since then."""
    # A tenant has fewer jobs than a type: as an expression, the type does not make a database use its index.
    type_column = jobs.c.type if tenant is None else jobs.c.type.concat(sa.literal_column("''"))
    conditions = [
        column == value
        for column, value in ((jobs.c.tenant, tenant), (type_column, type_), (ERROR_CODE[database.dialect], code))
        if value is not None
    ]
    if code is not None:
        conditions.append(jobs.c.error.is_not(None))  # the index has no others
    if since is not None:
        conditions.append(jobs.c.received_at >= since)
    return conditions


def progress_of(database: Database, job_ids: Sequence[str]) -> dict[str, tuple[str, int, float]]:
    """Return state, progress and time of receipt of those jobs that exist."""
    query = sa.select(jobs.c.id, jobs.c.state, jobs.c.progress, jobs.c.received_at).where(jobs.c.id.in_(job_ids))
    with database.read() as connection:
        return {row[0]: (row[1], row[2], row[3]) for row in connection.execute(query)}


def known_ids(database: Database, ids: Sequence[str]) -> set[str]:
    """Return those ids that a job or a dead letter has."""
    with database.read() as connection:
        found = set(connection.execute(sa.select(jobs.c.id).where(jobs.c.id.in_(ids))).scalars())
        letters = sa.select(rejections.c.request_id).where(rejections.c.request_id.in_(ids))
        return found | set(connection.execute(letters).scalars())


def timeline_of(database: Database, job_id: str) -> Sequence[TimelineEntry]:
    """Return the job's timeline, oldest first."""
    query = sa.select(timeline).where(timeline.c.job_id == job_id).order_by(timeline.c.seq)
    with database.read() as connection:
        return [timeline_entry_from(row) for row in connection.execute(query).mappings()]


def deliveries_of(database: Database, job_id: str) -> Sequence[Delivery]:
    """Return the job's callbacks."""
    query = sa.select(deliveries).where(deliveries.c.job_id == job_id).order_by(deliveries.c.created_at)
    with database.read() as connection:
        return [delivery_from(row) for row in connection.execute(query).mappings()]


def find_delivery(database: Database, webhook_id: str) -> Delivery | None:
    """Return the callback with this ``webhook-id``, or ``None``."""
    with database.read() as connection:
        row = connection.execute(sa.select(deliveries).where(deliveries.c.id == webhook_id)).mappings().first()
    return None if row is None else delivery_from(row)


def delivery_ids(
    database: Database, *, state: str | None = None, job_id: str | None = None, limit: int | None = None
) -> Sequence[str]:
    """Return the ``webhook-id`` of every such callback, or of so many, oldest first."""
    query = sa.select(deliveries.c.id).where(*_chosen(state, job_id)).order_by(deliveries.c.created_at).limit(limit)
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def deliveries_by_job(database: Database, job_ids: Sequence[str]) -> dict[str, list[Delivery]]:
    """Return the callbacks of several jobs, oldest first."""
    query = sa.select(deliveries).where(deliveries.c.job_id.in_(job_ids)).order_by(deliveries.c.created_at)
    found: dict[str, list[Delivery]] = {}
    with database.read() as connection:
        for row in connection.execute(query).mappings():
            found.setdefault(row["job_id"], []).append(delivery_from(row))
    return found


def count_jobs_by_type(database: Database) -> dict[tuple[str, str], int]:
    """Count the jobs of each type in each state."""
    query = sa.select(jobs.c.type, jobs.c.state, sa.func.count()).group_by(jobs.c.type, jobs.c.state)
    with database.read() as connection:
        return {(row[0], row[1]): row[2] for row in connection.execute(query)}


def count_jobs_by_role(database: Database) -> dict[str, tuple[int, int]]:
    """Count, for each role, jobs with a worker, and due jobs without one whose type is not paused."""
    held = sa.func.coalesce(jobs.c.lease_until > db_now(), sa.false())
    ready = sa.and_(jobs.c.wake_at.is_not(None), jobs.c.not_before <= db_now(), sa.not_(has_paused_type()))
    due = sa.and_(ready, sa.not_(held))
    counted = (sa.func.sum(sa.case((what, 1), else_=0)) for what in (due, held))
    query = sa.select(jobs.c.role, *counted).where(jobs.c.state.in_([s.value for s in OPEN])).group_by(jobs.c.role)
    with database.read() as connection:
        return {row[0]: (int(row[1]), int(row[2])) for row in connection.execute(query)}


def count_open_jobs(database: Database) -> dict[tuple[str, str], int]:
    """Count the open jobs by what they do and by role.

    ``running`` under a worker's lease, ``parked`` for a provider's call, ``scheduled`` for a later start, ``retrying``
    until a later attempt is due, ``paused`` with its type, or ``due`` and without a worker.
    """
    doing = _doing()
    query = sa.select(doing, jobs.c.role, sa.func.count()).where(jobs.c.state.in_([s.value for s in OPEN]))
    with database.read() as connection:
        return {(row[0], row[1]): row[2] for row in connection.execute(query.group_by(doing, jobs.c.role))}


@dataclass(frozen=True, slots=True)
class Queue:
    """The open jobs of one role and priority that do the same; see ``count_open_jobs``."""

    role: str
    priority: str
    status: str
    jobs: int
    #: How long the first of them has waited since it could start or go on.
    oldest_seconds: float


def list_queues(database: Database) -> list[Queue]:
    """Return all open jobs by role, priority and status."""
    keys = (jobs.c.role, jobs.c.priority, _doing().label("status"))
    query = sa.select(*keys, sa.func.count(), db_now() - sa.func.min(jobs.c.not_before)).where(
        jobs.c.state.in_([s.value for s in OPEN])
    )
    with database.read() as connection:
        rows = connection.execute(query.group_by(*keys))
        return [Queue(row[0], row[1], row[2], row[3], max(0.0, float(row[4]))) for row in rows]


def count_open_jobs_by_type(database: Database) -> dict[tuple[str, str], int]:
    """Count the open jobs of each type in each state."""
    query = sa.select(jobs.c.type, jobs.c.state, sa.func.count()).where(jobs.c.state.in_([s.value for s in OPEN]))
    with database.read() as connection:
        return {(row[0], row[1]): row[2] for row in connection.execute(query.group_by(jobs.c.type, jobs.c.state))}


def _doing() -> sa.ColumnElement[str]:
    return sa.case(
        (sa.func.coalesce(jobs.c.lease_until > db_now(), sa.false()), "running"),
        (jobs.c.wake_at.is_(None), "parked"),
        (sa.and_(jobs.c.not_before > db_now(), jobs.c.state == State.RECEIVED.value), "scheduled"),
        (jobs.c.not_before > db_now(), "retrying"),
        (has_paused_type(), "paused"),
        else_="due",
    )


def count_ended_jobs(database: Database, *, seconds: float) -> dict[tuple[str, str], int]:
    """Count the jobs that did not complete and ended within ``seconds``, by state and error code."""
    code = sa.func.coalesce(ERROR_CODE[database.dialect], "")
    query = sa.select(jobs.c.state, code, sa.func.count()).where(
        jobs.c.state.in_([s.value for s in TERMINAL - {State.COMPLETED}]), jobs.c.finished_at >= _ago(seconds)
    )
    with database.read() as connection:
        return {(row[0], row[1]): row[2] for row in connection.execute(query.group_by(jobs.c.state, code))}


def error_codes(database: Database) -> Sequence[str]:
    """Return the error codes that jobs have ended with."""
    query = sa.select(ERROR_CODE[database.dialect]).where(jobs.c.error.is_not(None)).distinct()
    with database.read() as connection:
        return [code for code in connection.execute(query).scalars() if code]


def count_completed_jobs(database: Database, *, seconds: float) -> int:
    """Count the jobs that were received and completed within ``seconds``."""
    # Bounded by the index on state and received_at, because a ledger may have millions of completed jobs.
    query = sa.select(sa.func.count()).where(jobs.c.state == State.COMPLETED.value, jobs.c.received_at >= _ago(seconds))
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


def count_deliveries(database: Database, *, delivered: bool = True) -> dict[str, int]:
    """Count the callbacks in each state; without ``delivered``, which are most of them, an index has the others."""
    return _counts(database, deliveries.c.state, *(() if delivered else (NOT_DELIVERED,)))


def count_dead_letters(database: Database) -> dict[str, int]:
    """Count the dead letters that were not replayed, by code."""
    return _counts(database, rejections.c.code, rejections.c.replayed_at.is_(None))


def oldest_open_seconds(database: Database) -> float:
    """Return the age of the oldest open job in seconds, from the time it may start at; 0 if there is none."""
    query = sa.select(db_now() - sa.func.min(ready_at())).where(jobs.c.state.in_([s.value for s in OPEN]))
    with database.read() as connection:
        return max(0.0, float(connection.execute(query).scalar() or 0.0))


def _ago(seconds: float) -> sa.ScalarSelect[float]:
    """Return the SQL for a time before now. As a subquery it is read once, so that PostgreSQL can use an index."""
    return sa.select(db_now() - seconds).scalar_subquery()


def ready_at() -> sa.ColumnElement[float]:
    """Return when a job could start: at its receipt, or at the time that its request names."""
    return sa.func.coalesce(jobs.c.scheduled_for, jobs.c.received_at)


def _chosen(state: str | None, job_id: str | None) -> list[sa.ColumnElement[bool]]:
    chosen: list[sa.ColumnElement[bool]] = []
    if state is not None:
        chosen.append(deliveries.c.state == state)
        if state != DeliveryState.DELIVERED:
            chosen.append(NOT_DELIVERED)  # the index has no others
    if job_id is not None:
        chosen.append(deliveries.c.job_id == job_id)
    return chosen


def _counts(database: Database, column: sa.Column[str], *conditions: sa.ColumnElement[bool]) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).where(*conditions).group_by(column)
    with database.read() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}
