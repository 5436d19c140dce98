"""Steps: the recorded results that a replayed job does not compute again."""

from __future__ import annotations

import functools
import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.database import Database, db_now, insertion
from consumer.ledger.leases import assert_held
from consumer.ledger.records import Lease, Step
from consumer.ledger.states import StepState
from consumer.ledger.tables import steps
from consumer.ledger.timeline import note

# Built once: building a statement costs more than sending it.
_FIND = sa.select(steps).where(steps.c.job_id == sa.bindparam("job"), steps.c.name == sa.bindparam("step"))
_OF_JOB = sa.select(steps).where(steps.c.job_id == sa.bindparam("job")).order_by(steps.c.started_at)
_RECORD = (
    sa.update(steps)
    .where(steps.c.job_id == sa.bindparam("job"), steps.c.name == sa.bindparam("step"))
    .values(state=StepState.DONE.value, epoch=sa.bindparam("holder"))
    .values(finished_at=db_now(), result=sa.bindparam("made"))
)


def begin(database: Database, lease: Lease, name: str) -> Step:
    """Return the step: ``done`` with its result, or now ``running`` under this lease."""
    with database.write() as connection:
        assert_held(connection, lease)
        found = _find(connection, lease.job_id, name)
        if found is not None and found.state is StepState.DONE:
            note(connection, lease.job_id, "step_remembered", epoch=lease.epoch, step=name)
            return found
        start(database, connection, lease, name)
        started = _find(connection, lease.job_id, name)
    assert started is not None
    return started


def start(database: Database, connection: Connection, lease: Lease, name: str) -> None:
    """Record that the step is ``running`` under the lease, which the caller's transaction has checked."""
    values = {"job": lease.job_id, "step": name, "holder": lease.epoch}
    connection.execute(_insertion(database.dialect), values)
    note(connection, lease.job_id, "step_started", epoch=lease.epoch, step=name)


def record(database: Database, lease: Lease, name: str, result: Any, **detail: Any) -> None:
    """Mark the step done. A crash before this commit repeats the step, a crash after it does not.

    Raises:
        LeaseLost: another worker has the job; nothing was written.
    """
    with database.write() as connection:
        assert_held(connection, lease)
        done = {"job": lease.job_id, "step": name, "holder": lease.epoch, "made": json.dumps(result)}
        connection.execute(_RECORD, done)
        note(connection, lease.job_id, "step_done", epoch=lease.epoch, step=name, **detail)


def is_done(database: Database, job_id: str, name: str) -> bool:
    """Return whether the step's result is recorded."""
    with database.read() as connection:
        step = _find(connection, job_id, name)
    return step is not None and step.state is StepState.DONE


def of_job(database: Database, job_id: str) -> list[Step]:
    """Return the job's steps in the order in which they began."""
    with database.read() as connection:
        rows = connection.execute(_OF_JOB, {"job": job_id}).mappings()
        return [_step(row) for row in rows]


def _find(connection: Connection, job_id: str, name: str) -> Step | None:
    row = connection.execute(_FIND, {"job": job_id, "step": name}).mappings().first()
    return None if row is None else _step(row)


@functools.cache
def _insertion(dialect: str) -> Any:
    values: dict[str, Any] = {
        "state": StepState.RUNNING.value,
        "epoch": sa.bindparam("holder"),
        "started_at": db_now(),
        "finished_at": None,
        "result": None,
    }
    statement = insertion(dialect, steps).values(job_id=sa.bindparam("job"), name=sa.bindparam("step"), **values)
    return statement.on_conflict_do_update(index_elements=["job_id", "name"], set_=values)


def _step(row: Any) -> Step:
    return Step(
        name=row["name"],
        state=StepState(row["state"]),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        result=None if row["result"] is None else json.loads(row["result"]),
    )
