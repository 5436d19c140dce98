"""Uploads: objects that a trigger rule covers, kept from their notification until they are jobs or dead letters.

The object store is read later, by the upload loop: it cannot delay a door or a plain request, and while it is
unavailable nothing is lost.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.database import Database, db_now
from consumer.ledger.dead_letters import storable
from consumer.ledger.tables import uploads

_ANY_DUE = sa.select(uploads.c.seq).where(uploads.c.due_at <= db_now()).limit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedUpload:
    """One upload claimed by this process."""

    #: Its number, in the order of arrival.
    seq: int
    #: The door through which its notification was received, and where, such as a queue.
    door: str
    source: str
    #: The notification, with this one record.
    body: bytes
    #: The notification's headers or properties.
    headers: Mapping[str, Any]
    #: How often it was claimed, this time included; names the claim in later writes.
    tries: int
    #: Seconds since its notification arrived, by the database's clock.
    age_seconds: float


def enqueue(connection: Connection, *, door: str, source: str, body: bytes, headers: Mapping[str, Any]) -> None:
    """Keep a notification of one record, in the caller's transaction. It is due at once."""
    connection.execute(
        uploads.insert().values(
            at=db_now(),
            door=door,
            source=storable(source)[:1024],
            body=body,
            headers=json.dumps(dict(headers), default=repr),
            due_at=db_now(),
            tries=0,
        )
    )


def claim_due(database: Database, *, limit: int, seconds: float, but: Collection[int] = ()) -> Sequence[ClaimedUpload]:
    """Claim up to ``limit`` due uploads except ``but``; they are due again after ``seconds`` if this process dies."""
    with database.read() as connection:
        if connection.execute(_ANY_DUE).first() is None:
            return []
    with database.write() as connection:
        due = (
            sa.select(uploads.c.seq)
            .where(uploads.c.due_at <= db_now(), uploads.c.seq.not_in(but))
            .order_by(uploads.c.due_at, uploads.c.seq)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")  # read once; as a plain subquery PostgreSQL may read it for every row, past the limit
        )
        statement = (
            sa.update(uploads)
            .where(uploads.c.seq.in_(sa.select(due.c.seq)))
            .values(due_at=db_now() + seconds, tries=uploads.c.tries + 1)
            .returning(uploads, (db_now() - uploads.c.at).label("age_seconds"))
        )
        return [_waiting(row) for row in connection.execute(statement).mappings()]


def extend(database: Database, seqs: Collection[int], *, seconds: float) -> None:
    """Extend the visibility of uploads in progress."""
    with database.write() as connection:
        connection.execute(sa.update(uploads).where(uploads.c.seq.in_(seqs)).values(due_at=db_now() + seconds))


def settle(connection: Connection, waiting: ClaimedUpload) -> bool:
    """Delete the upload in the caller's transaction. Return ``False`` if another process has claimed it."""
    gone = sa.delete(uploads).where(uploads.c.seq == waiting.seq, uploads.c.tries == waiting.tries)
    return connection.execute(gone).rowcount == 1


def reschedule(database: Database, waiting: ClaimedUpload, *, seconds: float, reason: str) -> None:
    """Make it due again after ``seconds``, unless another process has claimed it."""
    statement = (
        sa.update(uploads)
        .where(uploads.c.seq == waiting.seq, uploads.c.tries == waiting.tries)
        .values(due_at=db_now() + seconds, reason=reason)
    )
    with database.write() as connection:
        connection.execute(statement)


def count(database: Database) -> int:
    """Count the waiting uploads."""
    with database.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(uploads)).scalar_one())


def reasons(database: Database) -> Sequence[str]:
    """Return why uploads wait, for those that failed at least once."""
    query = sa.select(uploads.c.reason).where(uploads.c.reason.is_not(None)).order_by(uploads.c.seq)
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def _waiting(row: sa.RowMapping) -> ClaimedUpload:
    return ClaimedUpload(
        seq=row["seq"],
        door=row["door"],
        source=row["source"],
        body=bytes(row["body"]),
        headers=json.loads(row["headers"]),
        tries=row["tries"],
        age_seconds=row["age_seconds"],
    )
