"""Forgetting jobs: their rows, after their files."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from consumer.ledger.database import Database, db_now
from consumer.ledger.records import Job, job_from
from consumer.ledger.states import TERMINAL
from consumer.ledger.tables import deliveries, jobs, steps, timeline


def ended_before(database: Database, *, age_seconds: float, limit: int, offset: int = 0) -> Sequence[Job]:
    """Terminal jobs that ended at least ``age_seconds`` ago and owe no callback any more; oldest first."""
    owed = (
        sa.select(deliveries.c.job_id)
        .where(deliveries.c.due_at.is_not(None), deliveries.c.job_id == jobs.c.id)
        .exists()
    )
    query = (
        sa.select(jobs)
        .where(jobs.c.state.in_([s.value for s in TERMINAL]), jobs.c.finished_at <= db_now() - age_seconds, ~owed)
        .order_by(jobs.c.finished_at, jobs.c.id)
        .limit(limit)
        .offset(offset)
    )
    with database.read() as connection:
        return [job_from(row) for row in connection.execute(query).mappings()]


def outputs(database: Database) -> list[str]:
    """Every ``output`` that a request named, sorted: so that no folder is deleted which holds another job's results."""
    if database.dialect == "sqlite":
        output = sa.func.json_extract(jobs.c.request, "$.output")
    else:
        output = sa.cast(jobs.c.request, sa.JSON)["output"].as_string()
    with database.read() as connection:
        return sorted(connection.execute(sa.select(output).where(output.is_not(None)).distinct()).scalars())


def forget(database: Database, job_id: str) -> bool:
    """Removes a terminal job with its steps, timeline and callbacks; ``False`` when it is open or unknown."""
    with database.write(durable=True) as connection:
        gone = sa.delete(jobs).where(jobs.c.id == job_id, jobs.c.state.in_([s.value for s in TERMINAL]))
        if connection.execute(gone).rowcount != 1:
            return False
        for table in (steps, timeline, deliveries):
            connection.execute(sa.delete(table).where(table.c.job_id == job_id))
    return True
