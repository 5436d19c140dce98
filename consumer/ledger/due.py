"""Jobs that are due and have no worker: what the sweep looks for, and which job a wake-up claims."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from consumer.ledger.database import Database, db_now
from consumer.ledger.leases import NOT_BEGUN, Claim, take, take_ahead, unleased
from consumer.ledger.pauses import has_paused_type
from consumer.ledger.records import Job, job_from
from consumer.ledger.states import OPEN, State, sources
from consumer.ledger.tables import jobs
from schemas.envelope import PRIORITIES

MAX_WAKE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Wake:
    """A job to wake, and the queue of its wake-up."""

    job_id: str
    role: str
    priority: str
    #: The job's type, if it is known here.
    type: str | None = None


_NOT_PAUSED = sa.not_(has_paused_type())
#: A job that a worker can claim now, if no other worker has it.
_STARTABLE = (jobs.c.wake_at.is_not(None), jobs.c.not_before <= db_now(), _NOT_PAUSED)

#: Sends wake-ups; returns ``False`` when it knows that some were not sent.
Waker = Callable[[Sequence[Wake]], bool | None]


def take_due(database: Database, *, limit: int, again_seconds: float) -> Sequence[Wake]:
    """Return due jobs without a live lease, and schedule the next wake-up of each with exponential backoff.

    So a wake-up that a broker lost is repeated, and a long queue is not filled with copies.
    """
    with database.write() as connection:
        due = (
            sa.select(jobs.c.id)
            # Not null: PostgreSQL reads the whole index for a comparison with its clock, so without ended jobs.
            .where(jobs.c.wake_at.is_not(None), jobs.c.wake_at <= db_now(), _NOT_PAUSED)
            .order_by(jobs.c.wake_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")  # read once; as a plain subquery PostgreSQL may read it for every row, past the limit
        )
        statement = (
            sa.update(jobs)
            .where(jobs.c.id.in_(sa.select(due.c.id)))
            .values(wakes=jobs.c.wakes + 1, wake_at=db_now() + wake_interval(again_seconds))
            .returning(jobs.c.id, jobs.c.role, jobs.c.priority, jobs.c.type)
        )
        return [Wake(row.id, row.role, row.priority, row.type) for row in connection.execute(statement)]


# Built once: building a statement costs more than sending it.
_LINE = (
    sa.select(jobs, db_now().label("now"))
    .where(jobs.c.role == sa.select(jobs.c.role).where(jobs.c.id == sa.bindparam("woken")).scalar_subquery())
    .where(jobs.c.priority == sa.bindparam("wanted_priority"), jobs.c.state.in_(sources(State.RUNNING)))
    .where(*_STARTABLE, unleased())
    .order_by(jobs.c.received_at)
    .limit(sa.bindparam("count"))
)
_NEXT = _LINE.with_for_update(of=jobs, skip_locked=True)


def claim_next(
    database: Database, woken: str, *, owner: str, seconds: float, most: Callable[[str], int] = lambda _: 1
) -> list[Claim]:
    """Claim the job that a wake-up for the job ``woken`` should run: the most urgent of its role, the oldest of those.

    So priority is strict in any order of delivery: a wake-up means that one more job is due, not which. Empty if every
    job of the role has a worker, is not due or has a paused type.

    Args:
        database: The ledger.
        woken: The id of the job that was woken.
        owner: The process that claims.
        seconds: How long the lease lasts.
        most: How many jobs of a type may be claimed together: the first and those that follow it in the line. Those
            are claimed ahead, see ``leases.begin``.
    """
    with database.write(durable=True) as connection:
        for priority in PRIORITIES:
            line = {"woken": woken, "wanted_priority": priority}
            first = connection.execute(_NEXT, {**line, "count": 1}).mappings().first()
            if first is None:
                continue
            claims = [take(connection, first, owner=owner, seconds=seconds)]
            if (more := most(first["type"]) - 1) > 0:
                # Looked at first: other workers pass over the rows that are locked.
                seen = _alike(connection.execute(_LINE, {**line, "count": more}).mappings().all(), first["type"])
                rows = connection.execute(_NEXT, {**line, "count": len(seen)}).mappings().all()
                claims += take_ahead(connection, _alike(rows, first["type"]), owner=owner, seconds=seconds)
            return claims
    return []


def _alike(rows: Sequence[RowMapping], job_type: str) -> list[RowMapping]:
    """Return the rows up to the first of another type, or of a job that a worker began and did not release."""
    return list(itertools.takewhile(lambda row: row["type"] == job_type and row["state"] in NOT_BEGUN, rows))


def workers_wanted(role: str) -> sa.Select[Any]:
    """Return the query for the number of jobs that workers of the role run or should run now.

    An autoscaler sends it as it is: ops/deploy/kubernetes/components/keda has its text.
    """
    is_open = jobs.c.state.in_(sorted(OPEN))
    return sa.select(sa.func.count().label("wanted")).where(
        is_open, jobs.c.role == role, sa.or_(jobs.c.lease_until > db_now(), sa.and_(*_STARTABLE))
    )


def undo_wakeup(database: Database, wakes: Sequence[Wake], *, again_seconds: float) -> None:
    """Undo the backoff of wake-ups that no broker accepted: an outage must not make them rarer."""
    with database.write() as connection:
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id.in_([wake.job_id for wake in wakes]), jobs.c.wake_at.is_not(None), jobs.c.wakes > 0)
            .values(wakes=jobs.c.wakes - 1, wake_at=db_now() + again_seconds)
        )


def reset_wakeups(database: Database) -> None:
    """Make every open job without a live lease due now: a transport that keeps nothing was restarted."""
    with database.write() as connection:
        # Parked jobs are never due: their calls wake them.
        waiting = jobs.c.wake_at.is_not(None)
        statement = sa.update(jobs).where(jobs.c.state.in_([s.value for s in OPEN]), unleased(), waiting)
        connection.execute(
            statement.values(
                wakes=0, wake_at=sa.case((jobs.c.not_before > db_now(), jobs.c.not_before), else_=db_now())
            )
        )


def cancelled_or_expired(database: Database, *, limit: int) -> Sequence[Job]:
    """Return open jobs without a live lease that are to be cancelled or whose deadline has passed."""
    over = sa.or_(jobs.c.cancel_requested.is_(True), jobs.c.deadline_at <= db_now())
    query = sa.select(jobs).where(jobs.c.state.in_([s.value for s in OPEN]), unleased(), over).limit(limit)
    with database.read() as connection:
        return [job_from(row) for row in connection.execute(query).mappings()]


def wake_interval(again_seconds: float) -> sa.ColumnElement[float]:
    """Return the SQL for the seconds to a job's next wake-up, by how often it was woken already."""
    # 2^wakes as a bit shift: not every database has a power function.
    wait = again_seconds * sa.cast(sa.literal(1).bitwise_lshift(least(jobs.c.wakes, 10)), sa.Double)
    return least(wait, MAX_WAKE_SECONDS)


def least(value: sa.ColumnElement[Any], limit: Any) -> sa.ColumnElement[Any]:
    """Return the SQL for the smaller of the two, or for null if ``value`` is null."""
    return sa.case((value > limit, limit), else_=value)
