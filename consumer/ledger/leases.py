"""Leases: at most one worker runs a job, and one that lost its lease can write nothing more."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from consumer.ledger import owner as owners
from consumer.ledger.database import Database, db_now
from consumer.ledger.prepared import Prepared, given
from consumer.ledger.records import Job, Lease, job_from
from consumer.ledger.states import OPEN, State, sources
from consumer.ledger.tables import LINE, jobs
from consumer.ledger.timeline import note
from schemas.errors import LeaseLost

#: The states of a job whose lease was taken ahead: no work was done under it.
NOT_BEGUN = (State.RECEIVED.value, State.WAITING.value)

# Built once: building a statement costs more than sending it.
_LOOK = sa.select(jobs, db_now().label("now")).where(jobs.c.id == sa.bindparam("wanted")).with_for_update()
_HELD = (
    sa.select(jobs.c.epoch)
    .where(jobs.c.id == sa.bindparam("held_job"), jobs.c.lease_owner == sa.bindparam("held_by"))
    .with_for_update()
)
_TAKE = sa.update(jobs).where(jobs.c.id == sa.bindparam("wanted"))


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease that was just taken, and the job at that moment."""

    lease: Lease
    job: Job
    #: The database's clock at that moment.
    taken_at: float
    #: Whether the end of the job may be lost in a power cut until the next durable commit: see ``execution.group``.
    deferred: bool = False
    #: What else to write in the transaction that completes the job.
    at_end: Callable[[Connection], None] | None = None
    _monotonic: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        """Return the database's time without a query: that of the claim plus the time that has passed here since."""
        return self.taken_at + time.monotonic() - self._monotonic

    def duration(self) -> float:
        """Return the seconds since then, for the log."""
        return round(time.monotonic() - self._monotonic, 3)


@dataclass(frozen=True, slots=True)
class HeartbeatResult:
    """The answer to a heartbeat."""

    cancel_requested: bool
    deadline_passed: bool


def claim(database: Database, job_id: str, *, owner: str, seconds: float) -> Claim | None:
    """Take the job's lease. Return ``None`` if the job is terminal, held by a live worker, or not due yet.

    The claim is durable: its fencing number is never used twice.
    """
    with database.write(durable=True) as connection:
        row = connection.execute(_LOOK, {"wanted": job_id}).mappings().first()
        if row is None or row["state"] not in sources(State.RUNNING):
            return None
        held = row["lease_until"] is not None and row["lease_until"] > row["now"]
        if held or row["not_before"] > row["now"]:
            return None
        return take(connection, row, owner=owner, seconds=seconds)


def take(connection: Connection, row: RowMapping, *, owner: str, seconds: float) -> Claim:
    """Take the lease of a job that may be claimed, given its locked row with the database's time as ``now``.

    Taking over a job whose worker had begun it and did not release the lease counts as a crash.
    """
    changes = _lease(row, owner, seconds)
    changes |= {"state": State.RUNNING.value, "started_at": row["started_at"] or row["now"]}
    if row["lease_owner"] is not None and row["state"] not in NOT_BEGUN:
        changes["crashes"] = row["crashes"] + 1
        worker = owners.label(row["lease_owner"])
        note(connection, row["id"], "worker_lost", epoch=row["epoch"], worker=worker, state=row["state"])
    connection.execute(_TAKE, {"wanted": row["id"], **changes})
    note(connection, row["id"], "claimed", epoch=changes["epoch"], worker=owners.label(owner))
    return _claim(row, changes)


def take_ahead(connection: Connection, rows: Sequence[RowMapping], *, owner: str, seconds: float) -> list[Claim]:
    """Take the leases of jobs that begin later. They keep their states, so that an earlier crash does not count."""
    if not rows:
        return []
    changes = [_lease(row, owner, seconds) for row in rows]
    connection.execute(_TAKE, [{"wanted": row["id"], **each} for row, each in zip(rows, changes, strict=True)])
    return [_claim(row, each) for row, each in zip(rows, changes, strict=True)]


def begin(connection: Connection, claim: Claim, *, seconds: float) -> Claim:
    """Begin a job that was claimed ahead, under a renewed lease, in the caller's transaction.

    Raises:
        LeaseLost: it was handed back, or another worker has it; nothing was written.
    """
    now, lease = claim.now(), claim.lease
    started, until = claim.job.started_at or now, now + seconds
    changes = {"state": State.RUNNING.value, "started_at": started, "lease_until": until, "wake_at": until}
    found = _BEGIN.execute(connection, {**_holder(lease), **changes}).first()
    if found is None:
        raise LeaseLost
    note(connection, lease.job_id, "claimed", epoch=lease.epoch, worker=owners.label(lease.owner))
    cancelled = bool(found.cancel_requested)
    job = replace(claim.job, state=State.RUNNING, started_at=started, lease_until=until, cancel_requested=cancelled)
    return replace(claim, job=job, taken_at=now, _monotonic=time.monotonic())


def hand_back(database: Database, claims: Sequence[Claim]) -> int:
    """Release those of the jobs that were claimed ahead and have not begun; they are due now. Return how many."""
    held = [(claim.lease.job_id, claim.lease.epoch, claim.lease.owner) for claim in claims]
    statement = (
        sa.update(jobs)
        # The ids as well: SQLite uses no index for tuples.
        .where(jobs.c.id.in_([claim.job.id for claim in claims]), jobs.c.state.in_(NOT_BEGUN))
        .where(sa.tuple_(jobs.c.id, jobs.c.epoch, jobs.c.lease_owner).in_(held))
        .values(lease_owner=None, lease_until=None, wake_at=db_now(), line=LINE)
    )
    with database.write() as connection:
        return connection.execute(statement).rowcount


def make_durable(database: Database, lease: Lease) -> None:
    """Make all commits up to now durable, by one that waits for the disk. It changes nothing."""
    with database.write(durable=True) as connection:
        connection.execute(sa.update(jobs).where(jobs.c.id == lease.job_id).values(wakes=jobs.c.wakes))


def _lease(row: RowMapping, owner: str, seconds: float) -> dict[str, Any]:
    until = row["now"] + seconds
    lease = {"lease_owner": owner, "lease_until": until, "wake_at": until, "wakes": 0, "epoch": row["epoch"] + 1}
    return lease | {"line": None}


def _claim(row: RowMapping, changes: Mapping[str, Any]) -> Claim:
    lease = Lease(row["id"], changes["epoch"], changes["lease_owner"])
    return Claim(lease, job_from({**row, **changes}), row["now"])


def renew(database: Database, beats: Mapping[Lease, int], *, seconds: float) -> Mapping[Lease, HeartbeatResult]:
    """Extend the leases and record the progress of each, in percent; return the flags of those that are still held.

    A lease that is missing in the answer is lost: another worker has the job.
    """
    held = {(lease.job_id, lease.epoch, lease.owner): lease for lease in beats}
    grown = sa.case({lease.job_id: progress for lease, progress in beats.items()}, value=jobs.c.id)
    statement = (
        sa.update(jobs)
        # The ids as well: SQLite uses no index for tuples.
        .where(jobs.c.id.in_([lease.job_id for lease in beats]))
        .where(sa.tuple_(jobs.c.id, jobs.c.epoch, jobs.c.lease_owner).in_(list(held)))
        .values(
            lease_until=db_now() + seconds,
            wake_at=db_now() + seconds,
            line=None,  # back in it if the lease had expired, and no other worker was free
            progress=sa.case((jobs.c.progress < grown, grown), else_=jobs.c.progress),
        )
        .returning(jobs.c.id, jobs.c.epoch, jobs.c.lease_owner, jobs.c.cancel_requested, jobs.c.deadline_at)
        .returning(db_now().label("now"))
    )
    with database.write() as connection:
        return {
            held[row.id, row.epoch, row.lease_owner]: HeartbeatResult(
                bool(row.cancel_requested), row.deadline_at is not None and row.deadline_at <= row.now
            )
            for row in connection.execute(statement)
        }


def transition(
    connection: Connection,
    lease: Lease,
    state: State,
    *,
    timed: str | None = None,
    via: State | None = None,
    **changes: object,
) -> None:
    """Change the job's state under the lease; the column ``timed`` is set to the database's time.

    A job that is to pass through another state on the way, ``via``, must be in a state that may become that one.

    Raises:
        LeaseLost: another worker has the job, or it has ended.
    """
    move = _prepared_move(via or state, timed, tuple(changes))
    if move.execute(connection, {**_holder(lease), "state": state.value, **changes}).rowcount != 1:
        raise LeaseLost


def _holder(lease: Lease) -> dict[str, Any]:
    return {"held_job": lease.job_id, "held_epoch": lease.epoch, "held_by": lease.owner}


@functools.cache
def _prepared_move(to: State, timed: str | None, changed: Sequence[str]) -> Prepared:
    return Prepared(_move(to, timed).values({name: given(name) for name in ("state", *changed)}))


def _move(to: State, timed: str | None) -> sa.Update:
    statement = (
        sa.update(jobs)
        .where(jobs.c.id == given("held_job"), jobs.c.epoch == given("held_epoch"))
        .where(jobs.c.lease_owner == given("held_by"), jobs.c.state.in_(sources(to)))
    )
    return statement if timed is None else statement.values({timed: db_now()})


_BEGIN = Prepared(
    _move(State.RUNNING, None)
    .values({name: given(name) for name in ("state", "started_at", "lease_until", "wake_at")})
    .returning(jobs.c.cancel_requested)
)


def assert_held(connection: Connection, lease: Lease) -> None:
    """Check that the lease is held, and lock it until the transaction ends.

    Raises:
        LeaseLost: another worker has the job.
    """
    if connection.execute(_HELD, {"held_job": lease.job_id, "held_by": lease.owner}).scalar() != lease.epoch:
        raise LeaseLost


def park(database: Database, lease: Lease, *, seconds: float, event: str, failures: int, **detail: object) -> None:
    """Release the lease; the job is due again after ``seconds``.

    Raises:
        LeaseLost: another worker has the job.
    """
    with database.write() as connection:
        due = float(connection.execute(sa.select(db_now())).scalar_one()) + seconds
        transition(
            connection,
            lease,
            State.WAITING,
            lease_owner=None,
            lease_until=None,
            not_before=due,
            wake_at=due,
            wakes=0,
            failures=failures,
        )
        note(connection, lease.job_id, event, epoch=lease.epoch, seconds=round(seconds, 3), failures=failures, **detail)


def unleased() -> sa.ColumnElement[bool]:
    """Return the SQL condition that no worker holds the job's lease now."""
    return sa.or_(jobs.c.lease_until.is_(None), jobs.c.lease_until <= db_now())


def expire_dead_owners(database: Database) -> list[str]:
    """End the leases of processes of this machine that no longer run; return the jobs' ids."""
    with database.read() as connection:
        held = connection.execute(
            sa.select(jobs.c.id, jobs.c.lease_owner, jobs.c.epoch).where(
                jobs.c.lease_owner.is_not(None), jobs.c.state.in_([state.value for state in OPEN])
            )
        ).all()
    freed = []
    for row in held:
        if not owners.is_gone(row.lease_owner):
            continue
        with database.write() as connection:
            # The owner is kept, so that the next claim counts the crash.
            statement = (
                sa.update(jobs)
                .where(jobs.c.id == row.id, jobs.c.epoch == row.epoch, jobs.c.lease_owner == row.lease_owner)
                .values(lease_until=db_now(), wake_at=db_now(), line=LINE)
            )
            if connection.execute(statement).rowcount:
                freed.append(row.id)
    return freed


def release_owned_by(database: Database, mine: Callable[[str], bool]) -> list[str]:
    """Release the jobs whose owner satisfies ``mine``, due at once: an orderly stop does not count as a crash.

    Later writes of that owner fail with ``LeaseLost``.
    """
    with database.write(durable=True) as connection:
        query = sa.select(jobs.c.id, jobs.c.lease_owner, jobs.c.epoch, jobs.c.state)
        given = []
        for row in connection.execute(query.where(jobs.c.lease_owner.is_not(None)).order_by(jobs.c.id)).all():
            if not mine(row.lease_owner):
                continue
            begun = row.state not in NOT_BEGUN
            freed: dict[str, Any] = {"lease_owner": None, "lease_until": None, "wake_at": db_now(), "wakes": 0}
            freed["line"] = LINE
            if begun:
                freed |= {"state": State.WAITING.value, "not_before": db_now()}
            # Only the lease that was read: another worker may have taken the job over since.
            parked = connection.execute(
                sa.update(jobs)
                .where(jobs.c.id == row.id, jobs.c.epoch == row.epoch, jobs.c.lease_owner == row.lease_owner)
                .where(jobs.c.state.in_(sources(State.WAITING) if begun else NOT_BEGUN))
                .values(freed)
            )
            if parked.rowcount != 1:
                continue
            if begun:
                note(connection, row.id, "worker_stopped", epoch=row.epoch, worker=owners.label(row.lease_owner))
            given.append(row.id)
    return given
