"""What open jobs do, and how many of them need a worker."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from consumer.ledger.database import Database, db_now
from consumer.ledger.pauses import has_paused_type
from consumer.ledger.states import OPEN, State
from consumer.ledger.tables import jobs

_DOING = sa.case(
    (sa.func.coalesce(jobs.c.lease_until > db_now(), sa.false()), "running"),
    (jobs.c.wake_at.is_(None), "parked"),
    (sa.and_(jobs.c.not_before > db_now(), jobs.c.state == State.RECEIVED.value), "scheduled"),
    (jobs.c.not_before > db_now(), "retrying"),
    (has_paused_type(), "paused"),
    else_="due",
)
_OPEN = jobs.c.state.in_(sorted(OPEN))


def count_open_jobs(database: Database) -> dict[tuple[str, str], int]:
    """Count the open jobs by what they do and by role.

    ``running`` under a worker's lease, ``parked`` for a provider's call, ``scheduled`` for a later start, ``retrying``
    until a later attempt is due, ``paused`` with its type, or ``due`` and without a worker.
    """
    query = sa.select(_DOING, jobs.c.role, sa.func.count()).where(_OPEN)
    with database.read() as connection:
        return {(row[0], row[1]): row[2] for row in connection.execute(query.group_by(_DOING, jobs.c.role))}


def workers_wanted(role: str) -> sa.Select[Any]:
    """Return the query for the number of jobs that a worker of the role runs or should run now.

    An autoscaler sends it as it is: ops/deploy/kubernetes/components/keda has its text.
    """
    return sa.select(sa.func.count()).where(_OPEN, jobs.c.role == role, _DOING.in_(("running", "due")))
