"""Which job a worker claims: one of the most urgent that are due, of the tenant whose turn it is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from consumer.ledger.database import Database, db_now
from consumer.ledger.due import STARTABLE
from consumer.ledger.leases import NOT_BEGUN, Claim, take, take_ahead, unleased
from consumer.ledger.states import State, sources
from consumer.ledger.tables import LINE, jobs
from consumer.ledger.turns import MANY_LINES, Turns, in_turn
from schemas.envelope import PRIORITIES

#: How many of the jobs received after a woken one are looked at for those that are outside their lines.
_NEAR = 100
#: How many jobs enter their lines in one transaction when a sweep starts.
_SOME = 2000

# Built once: building a statement costs more than sending it. Constants are part of their text for the same reason.
_CAN_RUN = (*STARTABLE, unleased(), jobs.c.state.in_(sources(State.RUNNING)))
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
    query = _in_order(sa.select(jobs.c.line), priority, *bounds, *STARTABLE, unleased())
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
_LOCK = _SELECT.where(jobs.c.id.in_(sa.bindparam("ids", expanding=True)), *STARTABLE, unleased()).with_for_update(
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
