"""Jobs that are due and have no worker: what the sweep looks for, and their wake-ups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from consumer.ledger.database import Database, db_now
from consumer.ledger.leases import unleased
from consumer.ledger.pauses import has_paused_type
from consumer.ledger.records import Job, job_from
from consumer.ledger.states import OPEN
from consumer.ledger.tables import LINE, jobs

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
STARTABLE = (jobs.c.wake_at.is_not(None), jobs.c.not_before <= db_now(), _NOT_PAUSED)

#: Sends wake-ups; returns ``False`` when it knows that some were not sent.
Waker = Callable[[Sequence[Wake]], bool | None]


def take_due(database: Database, *, limit: int, again_seconds: float) -> Sequence[Wake]:
    """Return due jobs without a live lease, which enter their lines.

    The next wake-up of each is scheduled with exponential backoff. So a wake-up that a broker lost is repeated, and a
    long queue is not filled with copies.
    """
    with database.write() as connection:
        due = (
            sa.select(jobs.c.id)
            # A subquery: PostgreSQL reads the whole index for a comparison with a clock that moves.
            .where(jobs.c.wake_at <= sa.select(db_now()).scalar_subquery(), _NOT_PAUSED)
            .order_by(jobs.c.wake_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")  # read once; as a plain subquery PostgreSQL may read it for every row, past the limit
        )
        statement = (
            sa.update(jobs)
            .where(jobs.c.id.in_(sa.select(due.c.id)))
            .values(wakes=jobs.c.wakes + 1, wake_at=db_now() + wake_interval(again_seconds), line=LINE)
            .returning(jobs.c.id, jobs.c.role, jobs.c.priority, jobs.c.type)
        )
        return [Wake(row.id, row.role, row.priority, row.type) for row in connection.execute(statement)]


def workers_wanted(role: str) -> sa.Select[Any]:
    """Return the query for the number of jobs that workers of the role run or should run now.

    An autoscaler sends it as it is: ops/deploy/kubernetes/components/keda has its text.
    """
    is_open = jobs.c.state.in_(sorted(OPEN))
    return sa.select(sa.func.count().label("wanted")).where(
        is_open, jobs.c.role == role, sa.or_(jobs.c.lease_until > db_now(), sa.and_(*STARTABLE))
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
