"""Read-only queries of pages: bounded, so that a ledger with millions of jobs answers as fast as a small one."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from consumer.ledger.database import Database, db_now
from consumer.ledger.pauses import has_paused_type
from consumer.ledger.queries import jobs_with, ready_at
from consumer.ledger.records import (
    DeadLetter,
    Delivery,
    Job,
    TimelineEntry,
    dead_letter_from,
    delivery_from,
    job_from,
    timeline_entry_from,
)
from consumer.ledger.states import OPEN, DeliveryState
from consumer.ledger.tables import JOB, NOT_DELIVERED, deliveries, jobs, rejections, timeline

#: A job is stuck if it has been due for so long without a worker …
STUCK_DUE_SECONDS = 300.0
#: … has not ended for so long …
STUCK_OPEN_SECONDS = 3600.0
#: … or has lost so many workers.
STUCK_CRASHES = 2


def count_jobs(
    database: Database,
    *,
    states: Sequence[str] = (),
    tenant: str | None = None,
    type_: str | None = None,
    code: str | None = None,
    since: float | None = None,
    most: int,
) -> int:
    """Count the jobs that ``list_jobs`` would return without a limit, up to ``most``."""
    conditions = jobs_with(database, tenant, type_, code, since)
    if states:
        conditions.append(jobs.c.state.in_(states))
    found = sa.select(jobs.c.id).where(*conditions).limit(most).subquery()
    with database.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(found)).scalar_one())


def count_by_tenant(database: Database, *, seconds: float, limit: int) -> Sequence[tuple[str, str, int]]:
    """Count the jobs received within ``seconds`` by tenant and state; the tenants with the most jobs come first."""
    number = sa.func.count()
    # A subquery, because PostgreSQL does not use an index for a comparison with its clock.
    start = sa.select(db_now() - seconds).scalar_subquery()
    query = sa.select(jobs.c.tenant, jobs.c.state, number).where(
        jobs.c.tenant.is_not(None), jobs.c.received_at >= start
    )
    with database.read() as connection:
        rows = connection.execute(query.group_by(jobs.c.tenant, jobs.c.state)).all()
    totals: dict[str, int] = {}
    for tenant, _, count in rows:
        totals[tenant] = totals.get(tenant, 0) + count
    first = sorted(totals, key=lambda tenant: (-totals[tenant], tenant))[:limit]
    return [(tenant, state, count) for name in first for tenant, state, count in rows if tenant == name]


def stuck_jobs(database: Database, *, limit: int) -> Sequence[Job]:
    """Return open jobs that need a look, oldest first: due for long, open for long, or with several lost workers."""
    now = db_now()
    held = sa.func.coalesce(jobs.c.lease_until > now, sa.false())
    ready = sa.and_(jobs.c.wake_at.is_not(None), jobs.c.not_before <= now - STUCK_DUE_SECONDS)
    due = sa.and_(ready, sa.not_(held), sa.not_(has_paused_type()))
    odd = sa.or_(due, ready_at() <= now - STUCK_OPEN_SECONDS, jobs.c.crashes >= STUCK_CRASHES)
    query = sa.select(*JOB).where(jobs.c.state.in_([state.value for state in OPEN]), odd)
    with database.read() as connection:
        rows = connection.execute(query.order_by(jobs.c.received_at).limit(limit)).mappings()
        return [job_from(row) for row in rows]


def timeline_ends(database: Database, job_id: str, *, first: int, last: int) -> tuple[Sequence[TimelineEntry], int]:
    """Return the first and the last entries of the job's timeline, oldest first, and how many are between them."""
    of_job = sa.select(timeline).where(timeline.c.job_id == job_id)
    with database.read() as connection:
        total = int(connection.execute(sa.select(sa.func.count()).select_from(of_job.subquery())).scalar_one())
        if total <= first + last:
            rows = list(connection.execute(of_job.order_by(timeline.c.seq)).mappings())
            return [timeline_entry_from(row) for row in rows], 0
        start = list(connection.execute(of_job.order_by(timeline.c.seq).limit(first)).mappings())
        end = list(connection.execute(of_job.order_by(timeline.c.seq.desc()).limit(last)).mappings())
    return [timeline_entry_from(row) for row in (*start, *reversed(end))], total - first - last


def list_deliveries(
    database: Database,
    *,
    state: str | None = None,
    job_id: str | None = None,
    before: tuple[float, str] | None = None,
    limit: int,
) -> Sequence[Delivery]:
    """Return callbacks, newest first; ``before`` is time of creation and id of one, and those after it are returned."""
    d = deliveries.c
    query = sa.select(deliveries).order_by(d.created_at.desc(), d.id).limit(limit)
    if state is not None:
        query = query.where(d.state == state)
        if state != DeliveryState.DELIVERED:
            query = query.where(NOT_DELIVERED)
    if job_id is not None:
        query = query.where(d.job_id == job_id)
    if before is not None:
        at, webhook_id = before
        same = sa.and_(d.created_at == at, d.id > webhook_id)
        query = query.where(d.created_at <= at, sa.or_(d.created_at < at, same))  # the first part is for the index
    with database.read() as connection:
        return [delivery_from(row) for row in connection.execute(query).mappings()]


def list_dead_letters(
    database: Database, *, code: str | None, pending_only: bool, before: int | None, limit: int
) -> Sequence[DeadLetter]:
    """Return dead letters, newest first, optionally those with a number below ``before``."""
    query = sa.select(rejections).order_by(rejections.c.seq.desc()).limit(limit)
    if code is not None:
        query = query.where(rejections.c.code == code)
    if pending_only:
        query = query.where(rejections.c.replayed_at.is_(None))
    if before is not None:
        query = query.where(rejections.c.seq < before)
    with database.read() as connection:
        return [dead_letter_from(row) for row in connection.execute(query).mappings()]
