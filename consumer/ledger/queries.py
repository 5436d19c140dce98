"""Looking into the ledger, without changing anything."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from consumer.ledger import timeline as timelines
from consumer.ledger.database import Database, db_now
from consumer.ledger.records import Delivery, Job, TimelineEntry, delivery_from, job_from
from consumer.ledger.states import OPEN
from consumer.ledger.tables import deliveries, jobs, rejections


def find_job(database: Database, job_id: str) -> Job | None:
    """The job, or ``None``."""
    with database.read() as connection:
        row = connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).mappings().first()
    return None if row is None else job_from(row)


def list_jobs(database: Database, *, state: str | None = None, limit: int = 20) -> Sequence[Job]:
    """The newest jobs first."""
    query = sa.select(jobs).order_by(jobs.c.received_at.desc()).limit(limit)
    if state is not None:
        query = query.where(jobs.c.state == state)
    with database.read() as connection:
        return [job_from(row) for row in connection.execute(query).mappings()]


def story(database: Database, job_id: str) -> Sequence[TimelineEntry]:
    """The job's timeline, oldest first."""
    with database.read() as connection:
        return timelines.story(connection, job_id)


def deliveries_of(database: Database, job_id: str) -> Sequence[Delivery]:
    """The job's callbacks."""
    query = sa.select(deliveries).where(deliveries.c.job_id == job_id).order_by(deliveries.c.created_at)
    with database.read() as connection:
        return [delivery_from(row) for row in connection.execute(query).mappings()]


def list_deliveries(database: Database, *, state: str | None = None, limit: int = 20) -> Sequence[Delivery]:
    """The newest callbacks first."""
    query = sa.select(deliveries).order_by(deliveries.c.created_at.desc()).limit(limit)
    if state is not None:
        query = query.where(deliveries.c.state == state)
    with database.read() as connection:
        return [delivery_from(row) for row in connection.execute(query).mappings()]


def count_jobs(database: Database) -> dict[str, int]:
    """How many jobs are in each state."""
    return _counts(database, jobs.c.state)


def count_deliveries(database: Database) -> dict[str, int]:
    """How many callbacks are in each state."""
    return _counts(database, deliveries.c.state)


def count_rejections(database: Database) -> dict[str, int]:
    """How many dead letters wait for a person, by code."""
    return _counts(database, rejections.c.code, rejections.c.replayed_at.is_(None))


def oldest_open_seconds(database: Database) -> float:
    """Age of the oldest job that has not ended, in seconds; 0 when there is none."""
    query = sa.select(db_now() - sa.func.min(jobs.c.received_at)).where(jobs.c.state.in_([s.value for s in OPEN]))
    with database.read() as connection:
        return float(connection.execute(query).scalar() or 0.0)


def _counts(database: Database, column: sa.Column[str], *conditions: sa.ColumnElement[bool]) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).where(*conditions).group_by(column)
    with database.read() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}
