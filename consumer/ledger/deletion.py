"""Delete jobs: their rows, after their files. What their calls cost is kept, without their names."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.database import Database, db_now
from consumer.ledger.manifests import forget
from consumer.ledger.records import Job, job_from
from consumer.ledger.states import SETTLED, TERMINAL, CallState
from consumer.ledger.tables import calls, deliveries, jobs, rejections, steps, timeline, unflushed_manifests
from consumer.ledger.timeline import note


def ended_before(
    database: Database, *, age_seconds: float, limit: int, offset: int = 0, with_results: bool = False
) -> Sequence[Job]:
    """Return terminal jobs that ended at least ``age_seconds`` ago, oldest first.

    Jobs with an undelivered callback or an open call are left out, and those whose results are deleted completely if
    only jobs ``with_results`` are asked for.
    """
    owed = (
        sa.select(deliveries.c.job_id)
        .where(deliveries.c.due_at.is_not(None), deliveries.c.job_id == jobs.c.id)
        .exists()
    )
    query = (
        sa.select(jobs)
        .where(jobs.c.state.in_([s.value for s in TERMINAL]), jobs.c.finished_at <= db_now() - age_seconds)
        .where(~owed, ~_goes_on(jobs.c.id).exists())
        .where(sa.or_(jobs.c.results_deleted_at.is_(None), ~_all_deleted(jobs.c.id)) if with_results else sa.true())
        .order_by(jobs.c.finished_at, jobs.c.id)
        .limit(limit)
        .offset(offset)
    )
    with database.read() as connection:
        return [job_from(row) for row in connection.execute(query).mappings()]


def unsettled(database: Database, job_id: str) -> bool:
    """Return whether a paid call of the job is still open, or its outcome unknown."""
    with database.read() as connection:
        return connection.execute(_goes_on(job_id).limit(1)).first() is not None


def is_settling(database: Database, job_id: str) -> bool:
    """Return whether a call of the job will be settled by itself: all open ones but those that wait for a person."""
    by_itself = sa.or_(calls.c.state != CallState.UNKNOWN.value, calls.c.due_at.is_not(None))
    with database.read() as connection:
        return connection.execute(_goes_on(job_id).where(by_itself).limit(1)).first() is not None


def outputs(database: Database) -> list[str]:
    """Return every ``output`` that a request named, sorted: a folder with another job's results must not be deleted."""
    if database.dialect == "sqlite":
        output = sa.func.json_extract(jobs.c.request, "$.output")
    else:
        output = sa.cast(jobs.c.request, sa.JSON)["output"].as_string()
    with database.read() as connection:
        return sorted(connection.execute(sa.select(output).where(output.is_not(None)).distinct()).scalars())


def delete_job(database: Database, job_id: str) -> bool:
    """Delete a terminal job with its steps, timeline and callbacks. Return ``False`` if it is open or unknown.

    Settled calls that cost something, or an unknown amount, are kept for budgets and the cost report, stripped of
    everything but the money.
    """
    with database.write(durable=True) as connection:
        if connection.execute(_goes_on(job_id).limit(1)).first() is not None:
            return False
        gone = sa.delete(jobs).where(jobs.c.id == job_id, jobs.c.state.in_([s.value for s in TERMINAL]))
        if connection.execute(gone).rowcount != 1:
            return False
        _keep_the_money(connection, job_id)
        for table in (steps, calls, timeline, deliveries, unflushed_manifests):
            connection.execute(sa.delete(table).where(table.c.job_id == job_id))
    return True


def begin_deletion(database: Database, job: Job) -> bool:
    """Record that the results of a terminal job are being deleted, before the first file goes: it cannot be retried.

    Return ``False`` if it is not terminal, was retried since it was read, or is unknown.
    """
    with database.write(durable=True) as connection:
        begun = (
            sa.update(jobs)
            .where(jobs.c.id == job.id, jobs.c.epoch == job.epoch)
            .where(jobs.c.state.in_([s.value for s in TERMINAL]))
            .values(results_deleted_at=sa.func.coalesce(jobs.c.results_deleted_at, db_now()))
        )
        if connection.execute(begun).rowcount != 1:
            return False
        forget(connection, [job.id])  # or its file would be written again
        return True


def record_results_deleted(database: Database, job_id: str, *, files: int) -> None:
    """Record that all results of a job were deleted, after ``begin_deletion``. Idempotent."""
    with database.write(durable=True) as connection:
        known = sa.select(jobs.c.id).where(jobs.c.id == job_id, ~_all_deleted(job_id)).with_for_update()
        if connection.execute(known).first() is not None:
            note(connection, job_id, "results_deleted", files=files)


def delete_dead_letters(database: Database, numbers: Sequence[int]) -> int:
    """Delete dead letters with their bytes, and return how many there were."""
    with database.write(durable=True) as connection:
        return connection.execute(sa.delete(rejections).where(rejections.c.seq.in_(numbers))).rowcount


def old_dead_letters(database: Database, *, age_seconds: float, limit: int, after: int = 0) -> Sequence[int]:
    """Return the numbers of dead letters that are at least ``age_seconds`` old, in order, from above ``after``."""
    old = (rejections.c.at <= db_now() - age_seconds, rejections.c.seq > after)
    with database.read() as connection:
        return list(
            connection.execute(
                sa.select(rejections.c.seq).where(*old).order_by(rejections.c.seq).limit(limit)
            ).scalars()
        )


def delete_callbacks_without_job(database: Database, *, age_seconds: float, limit: int) -> int:
    """Delete callbacks of refused requests, at least ``age_seconds`` old and no longer due; return how many.

    Callbacks of jobs are deleted with their job.
    """
    old = (
        deliveries.c.job_id.is_(None),
        deliveries.c.created_at <= db_now() - age_seconds,
        deliveries.c.due_at.is_(None),
    )
    some = sa.select(deliveries.c.id).where(*old).limit(limit)
    with database.write() as connection:
        return connection.execute(sa.delete(deliveries).where(deliveries.c.id.in_(some))).rowcount


def _goes_on(job_id: str | sa.ColumnElement[str]) -> sa.Select[tuple[str]]:
    return sa.select(calls.c.id).where(calls.c.job_id == job_id, calls.c.state.not_in([s.value for s in SETTLED]))


def _all_deleted(job_id: str | sa.ColumnElement[str]) -> sa.Exists:
    noted = sa.select(timeline.c.job_id).where(timeline.c.job_id == job_id, timeline.c.event == "results_deleted")
    return noted.exists()


def _keep_the_money(connection: Connection, job_id: str) -> None:
    # With a result and without a cost, its price is unknown: `telecine costs` counts it.
    counted = sa.or_(calls.c.spent > 0, calls.c.state == CallState.DONE.value)
    spent = sa.select(calls.c.id).where(calls.c.job_id == job_id, counted)
    for key in list(connection.execute(spent).scalars()):
        # A new key: if the same request comes again, its call is another one.
        bare = {"id": uuid.uuid4().hex, "job_id": "", "step": "", "request": "{}"}
        connection.execute(sa.update(calls).where(calls.c.id == key).values(**bare, task=None, result=None, error=None))
