"""How a job ends: its outcome and its callback are written once, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.calls import stop_calls
from consumer.ledger.database import Database, db_now
from consumer.ledger.leases import transition, unleased
from consumer.ledger.manifests import UnflushedManifest, keep
from consumer.ledger.outbox import NewDelivery, enqueue
from consumer.ledger.records import Job, Lease, job_from
from consumer.ledger.states import OPEN, State
from consumer.ledger.tables import jobs
from consumer.ledger.timeline import Entry, note, note_all
from schemas.errors import JobNotFound, TelecineError


@dataclass(frozen=True, slots=True)
class Storing:
    """The entries of a timeline about the time between a job's work and its end."""

    #: For a plan, ``planned``.
    event: str = "storing"
    warnings: Sequence[str] = ()


def begin_storing(database: Database, lease: Lease, storing: Storing = Storing()) -> None:
    """Record that the media are stored and the manifest follows."""
    with database.write() as connection:
        transition(connection, lease, State.STORING)
        note_all(connection, lease.job_id, _storing(lease, storing))


def finish(
    database: Database,
    lease: Lease,
    state: State,
    *,
    outcome: Mapping[str, Any] | None = None,
    error: TelecineError | None = None,
    delivery: NewDelivery | None = None,
    storing: Storing | None = None,
    deferred: bool = False,
    manifest: UnflushedManifest | None = None,
    at_end: Callable[[Connection], None] | None = None,
) -> None:
    """End the job under its lease and enqueue its callback, in one durable transaction.

    After a crash before this commit, the next worker finds the steps done and ends the job; after it, the outbox
    delivers the callback. ``storing`` is given for a running job that had no files to store: it passes through that
    state here. A ``deferred`` end becomes durable with the next durable commit of any process; the outbox makes one
    before it sends a callback. ``manifest`` is given if its file is not flushed to the disk yet. ``at_end``
    writes more in the same transaction.

    Raises:
        LeaseLost: another worker has the job; nothing was written.
    """
    progress = {"progress": 100} if state is State.COMPLETED else {}
    via = state if storing is None else State.STORING
    with database.write_deferred() if deferred else database.write(durable=True) as connection:
        transition(connection, lease, state, timed="finished_at", via=via, **progress, **_closed(outcome, error))
        before = [] if storing is None else _storing(lease, storing)
        note_all(connection, lease.job_id, [*before, _end(state, error, lease.epoch)])
        if state is not State.COMPLETED:
            stop_calls(connection, lease.job_id)
        if manifest is not None:
            keep(database, connection, manifest)
        if delivery is not None:
            enqueue(database, connection, delivery)
        if at_end is not None:
            at_end(connection)


def finish_unleased(
    database: Database, job_id: str, state: State, error: TelecineError, delivery: NewDelivery | None
) -> bool:
    """End a cancelled or expired job that no worker holds. Return ``False`` if one holds it or it has ended."""
    with database.write(durable=True) as connection:
        statement = (
            sa.update(jobs)
            .where(jobs.c.id == job_id, jobs.c.state.in_([s.value for s in OPEN]), unleased())
            .values(state=state.value, epoch=jobs.c.epoch + 1, finished_at=db_now(), **_closed(None, error))
        )
        if connection.execute(statement).rowcount != 1:
            return False
        note_all(connection, job_id, [_end(state, error, None)])
        stop_calls(connection, job_id)
        if delivery is not None:
            enqueue(database, connection, delivery)
    return True


def request_cancel(database: Database, job_id: str, *, by: str, tenant: str | None = None) -> Job:
    """Request cancellation. The holder of the lease sees it at its next heartbeat; otherwise the sweep ends the job.

    Raises:
        JobNotFound: no job has this id, or it belongs to another tenant than ``tenant``, if one is given.
    """
    with database.write(durable=True) as connection:
        row = connection.execute(sa.select(jobs).where(jobs.c.id == job_id).with_for_update()).mappings().first()
        if row is None or tenant not in (None, row["tenant"]):
            raise JobNotFound(
                f"no job has the id {job_id!r}; `telecine list` prints the jobs there are", field="data.id"
            )
        job = job_from(row)
        if not job.terminal and not job.cancel_requested:
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(cancel_requested=True))
            note(connection, job_id, "cancel_requested", by=by)
    return job


def _storing(lease: Lease, storing: Storing) -> list[Entry]:
    warnings = [Entry("warning", lease.epoch, {"message": warning}) for warning in storing.warnings]
    return [*warnings, Entry(storing.event, lease.epoch)]


def _closed(outcome: Mapping[str, Any] | None, error: TelecineError | None) -> dict[str, Any]:
    return {
        "wake_at": None,
        "line": None,
        "lease_owner": None,
        "lease_until": None,
        "outcome": None if outcome is None else json.dumps(outcome),
        "error": None if error is None else json.dumps(error.as_record()),
    }


def _end(state: State, error: TelecineError | None, epoch: int | None) -> Entry:
    return Entry(state.value, epoch, {} if error is None else {"code": error.code, "message": error.message})
