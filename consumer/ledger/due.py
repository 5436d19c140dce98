"""Jobs that are due and have no worker: what the sweep looks for, and which job a wake-up claims."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from consumer.ledger.database import Database, db_now
from consumer.ledger.leases import NOT_BEGUN, Claim, take, take_ahead, unleased
from consumer.ledger.pauses import has_paused_type
from consumer.ledger.records import Job, job_from
from consumer.ledger.states import OPEN, State, sources
from consumer.ledger.tables import LINE, jobs
from consumer.ledger.turns import MANY_LINES, Turns, in_turn
from schemas.envelope import PRIORITIES

MAX_WAKE_SECONDS = 3600.0
#: How many of the jobs received after a woken one are looked at for those that are outside their lines.
_NEAR = 100
#: How many jobs enter their lines in one transaction when a sweep starts.
_SOME = 2000


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


# Built once: building a statement costs more than sending it. Constants are part of their text for the same reason.
_CAN_RUN = (*_STARTABLE, unleased(), jobs.c.state.in_(sources(State.RUNNING)))
_OUTSIDE = (jobs.c.line.is_(None), *_CAN_RUN)
_IS_OUTSIDE = sa.and_(*_OUTSIDE).label("outside")
_WOKEN = sa.select(jobs.c.role, jobs.c.priority, jobs.c.received_at.label("since"), _IS_OUTSIDE)
_WOKEN = _WOKEN.where(jobs.c.id == sa.bindparam("woken"))


def _build_near() -> sa.Select[Any]:
    """Return the query for jobs outside their lines among the next ones of a queue: a few steps along an index."""
    queue = (jobs.c.role == sa.bindparam("role"), jobs.c.priority == sa.bindparam("priority"))
    near = sa.select(jobs.c.id, _IS_OUTSIDE).where(*queue, jobs.c.received_at >= sa.bindparam("since"))
    # In the order of the index ``ix_jobs_open``.
    few = near.where(jobs.c.wake_at.is_not(None)).order_by(jobs.c.received_at).limit(_NEAR).subquery()
    return sa.select(few.c.id).where(few.c.outside)


def _build_enter(found: sa.Select[Any]) -> sa.Update:
    """Return the statement that puts those of the jobs into their lines that are outside."""
    outside = found.where(*_OUTSIDE).with_for_update(skip_locked=True).cte("outside")  # read once, as above
    return sa.update(jobs).where(jobs.c.id.in_(sa.select(outside.c.id))).values(line=LINE)


_SELECT_NEAR = _build_near()
_ENTER = _build_enter(sa.select(jobs.c.id).where(jobs.c.id.in_(sa.bindparam("ids", expanding=True))))
_ENTER_SOME = _build_enter(sa.select(jobs.c.id).limit(_SOME))


def _in_order(query: sa.Select[Any], priority: Any, *conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Return the query for jobs of the role and priority in the order of the index ``ix_jobs_line``."""
    of_role = (jobs.c.role == sa.bindparam("role"), jobs.c.priority == priority)
    return query.where(*of_role, *conditions).order_by(jobs.c.line, jobs.c.received_at)


def _next_line(priority: Any, *bounds: sa.ColumnElement[bool]) -> sa.ScalarSelect[str]:
    # Also unleased: a worker of the version before leaves the job that it claims in its line.
    # Without their states, for which SQLite would use another index.
    query = _in_order(sa.select(jobs.c.line), priority, *bounds, *_STARTABLE, unleased())
    return query.limit(sa.literal_column("1")).scalar_subquery()


_SELECT = sa.select(jobs, db_now().label("now"))
_PRIORITY: sa.BindParameter[str] = sa.bindparam("priority")
_OF_LINE = (jobs.c.line == sa.bindparam("line"), *_CAN_RUN)
_FIRST = _in_order(_SELECT, _PRIORITY, *_OF_LINE).limit(1).with_for_update(of=jobs, skip_locked=True)
_ANY = _in_order(_SELECT, _PRIORITY, jobs.c.line > "", *_CAN_RUN).limit(1).with_for_update(of=jobs, skip_locked=True)
#: The job's id if it is of the type and no worker began it without releasing it.
_ALIKE = sa.case((sa.and_(jobs.c.type == sa.bindparam("type"), jobs.c.state.in_(NOT_BEGUN)), jobs.c.id))
_LOOK = _in_order(sa.select(_ALIKE.label("id")), _PRIORITY, *_OF_LINE).limit(sa.bindparam("count"))
# Without their states, for which SQLite would use another index.
_LOCK = _SELECT.where(jobs.c.id.in_(sa.bindparam("ids", expanding=True)), *_STARTABLE, unleased()).with_for_update(
    of=jobs, skip_locked=True
)


def _build_choose() -> sa.Select[Any]:
    """Return the query for the most urgent priority with a job that waits, and its line whose turn it is."""
    nexts: list[sa.ColumnElement[str]] = []
    for priority in PRIORITIES:
        afters: tuple[sa.ColumnElement[str], ...] = (sa.bindparam(f"after_{priority}"), sa.literal_column("''"))
        for after in afters:
            line = _next_line(sa.literal_column(f"'{priority}'"), jobs.c.line > after)
            nexts.append(sa.literal_column(f"'{priority} '") + line)
    return sa.select(sa.func.coalesce(*nexts))


def _build_walk(*bounds: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Return the query for the lines after one and the first job of each: a step along the index for each."""
    walk = sa.select(sa.cast(sa.bindparam("after"), sa.String).label("line")).cte("walk", recursive=True)
    step = _next_line(_PRIORITY, jobs.c.line > walk.c.line, *bounds)
    walk = walk.union_all(sa.select(step.label("line")).where(walk.c.line.is_not(None)))
    head = _in_order(sa.select(_ALIKE), _PRIORITY, jobs.c.line == walk.c.line, *_CAN_RUN).limit(1).scalar_subquery()
    return sa.select(walk.c.line, head.label("head")).limit(sa.bindparam("count")).offset(1)


_CHOOSE = _build_choose()
_AFTER, _BEFORE = _build_walk(), _build_walk(jobs.c.line < sa.bindparam("before"))


def claim_next(
    database: Database,
    woken: str,
    *,
    owner: str,
    seconds: float,
    most: Callable[[str], int] = lambda _: 1,
    turns: Turns | None = None,
) -> list[Claim]:
    """Claim the job that a wake-up for the job ``woken`` should run: one of the most urgent of its role.

    So priority is strict in any order of delivery: a wake-up means that one more job is due, not which. Within the
    priority tenants take turns, and of a tenant the oldest job is claimed. Empty if every job of the role has a
    worker, is not due or has a paused type.

    Args:
        database: The ledger.
        woken: The id of the job that was woken.
        owner: The process that claims.
        seconds: How long the lease lasts.
        most: How many jobs of a type may be claimed together: the first and those whose turns follow. Those are
            claimed ahead, see ``leases.begin``.
        turns: The turns that this process takes.
    """
    turns = turns or Turns()
    with database.write(durable=True) as connection:
        found = connection.execute(_WOKEN, {"woken": woken}).first()
        if found is None:
            return []
        if found.outside:  # it was not due before, or a process of the version before admitted it
            _enter_near(connection, woken, found)
        first = _lock_first(connection, found.role, turns)
        if first is None and _enter_near(connection, woken, found):
            first = _lock_first(connection, found.role, turns)
        if first is None:
            return []
        claims = [take(connection, first, owner=owner, seconds=seconds)]
        if (more := most(first["type"]) - 1) > 0:
            rows = _lock_more(connection, first, more, turns)
            claims += take_ahead(connection, rows, owner=owner, seconds=seconds)
        return claims


def _enter_near(connection: Connection, woken: str, found: sa.Row[Any]) -> bool:
    """Put the woken job and those received soon after it into their lines. Return whether any was outside.

    A door of the version before knows no lines, and sends one wake-up for several short jobs.
    """
    near = connection.execute(_SELECT_NEAR, {name: getattr(found, name) for name in ("role", "priority", "since")})
    ids = list(near.scalars())
    if not ids and not found.outside:
        return False
    return connection.execute(_ENTER, {"ids": [woken, *ids]}).rowcount > 0


def enter_lines(database: Database) -> None:
    """Put all jobs that can start into their lines: what a process of the version before woke is in none.

    It reads all open jobs.
    """
    entered = _SOME
    while entered >= _SOME:
        with database.write() as connection:
            entered = connection.execute(_ENTER_SOME).rowcount


def _lock_first(connection: Connection, role: str, turns: Turns) -> RowMapping | None:
    """Lock the job whose turn it is."""
    last = {f"after_{priority}": turns.last((role, priority)) for priority in PRIORITIES}
    chosen: str | None = connection.execute(_CHOOSE, {"role": role, **last}).scalar()
    if chosen is None:
        return None
    priority, _, line = chosen.partition(" ")
    turns.served((role, priority), line)
    row = connection.execute(_FIRST, {"role": role, "priority": priority, "line": line}).mappings().first()
    if row is not None:
        return row
    # Other workers are claiming what is left of the line.
    for other in PRIORITIES:
        row = connection.execute(_ANY, {"role": role, "priority": other}).mappings().first()
        if row is not None:
            return row
    return None


def _lock_more(connection: Connection, first: RowMapping, count: int, turns: Turns) -> list[RowMapping]:
    """Lock up to ``count`` jobs like the first whose turns follow, in the order of their turns."""
    given = {name: first[name] for name in ("role", "priority", "type")}
    heads = _other_lines(connection, first["line"], given, count)
    # Looked at first: other workers pass over the rows that are locked.
    seen = {line: [] if head is None else [head] for line, head in heads.items()}
    if len(heads) < MANY_LINES:
        for line in (*heads, first["line"]):
            found = connection.execute(_LOOK, {**given, "line": line, "count": count}).scalars()
            seen[line] = list(itertools.takewhile(lambda job_id: job_id is not None, found))
    order = in_turn(seen.values(), count)
    for line, ids in seen.items():
        if not ids or ids[0] not in order:
            break  # it has its turn with the next claim; its next job may be of another type
        turns.served((first["role"], first["priority"]), line)
    locked = {row["id"]: row for row in connection.execute(_LOCK, {"ids": order}).mappings()}
    return [locked[job_id] for job_id in order if job_id in locked and locked[job_id]["state"] in NOT_BEGUN]


def _other_lines(connection: Connection, line: str, given: Mapping[str, str], count: int) -> dict[str, str | None]:
    """Return up to ``count`` other lines, in their order after ``line``, and the first job of each if it is alike."""
    walks = ((_AFTER, {"after": line}), (_BEFORE, {"after": "", "before": line}))
    found: dict[str, str | None] = {}
    for walk, bounds in walks:
        if (room := count - len(found)) > 0:
            rows = connection.execute(walk, {**given, **bounds, "count": room})
            found |= {row.line: row.head for row in rows if row.line is not None}
    return found


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
