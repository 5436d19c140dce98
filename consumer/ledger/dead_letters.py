"""Dead letters: messages that never became a job, kept with their bytes for a person."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.database import Database, db_now
from consumer.ledger.records import DeadLetter, dead_letter_from
from consumer.ledger.tables import rejections
from schemas.errors import TelecineError

#: How much is kept of a message that is too large to be a request.
KEPT_BYTES = 1024 * 1024
#: How much is read of a file or event that may be too large.
MOST_READ_BYTES = 16 * 1024 * 1024
#: Headers of a dead letter that was cut: the size of the whole message and its SHA-256.
SIZE, SHA256 = "telecine-bytes", "telecine-sha256"


def add_dead_letter(
    connection: Connection,
    *,
    door: str,
    source: str,
    request_id: str | None,
    error: TelecineError,
    body: bytes,
    headers: Mapping[str, Any],
    keep_bytes: int = KEPT_BYTES,
) -> int:
    """Store the message with its error, in the caller's transaction, and return its number.

    Of a message of more than ``keep_bytes``, which is too large to be a request, only the beginning is stored.
    """
    # A producer may use these names as well; only Telecine's own say that a message was cut.
    kept = {name: value for name, value in headers.items() if name not in (SIZE, SHA256)}
    if len(body) > max(keep_bytes, KEPT_BYTES):
        kept |= {SIZE: len(body), SHA256: hashlib.sha256(body).hexdigest()}
        body = body[:KEPT_BYTES]
    statement = rejections.insert().values(
        at=db_now(),
        door=door,
        source=storable(source)[:1024],
        request_id=request_id,
        code=error.code,
        message=error.message,
        body=body,
        headers=json.dumps(kept, default=repr),
    )
    statement = statement.returning(rejections.c.seq)
    return int(connection.execute(statement).scalar_one())


def storable(value: str) -> str:
    """Make text storable in SQL: replace NUL and lone surrogates. A routing key may be any bytes."""
    return value.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")


def list_newest(database: Database, *, limit: int, pending_only: bool = False) -> Sequence[DeadLetter]:
    """Return the newest dead letters."""
    query = sa.select(rejections).order_by(rejections.c.seq.desc()).limit(limit)
    if pending_only:
        query = query.where(rejections.c.replayed_at.is_(None))
    with database.read() as connection:
        return [dead_letter_from(row) for row in connection.execute(query).mappings()]


def find(database: Database, seq: int) -> DeadLetter | None:
    """Return one dead letter by its number."""
    with database.read() as connection:
        row = connection.execute(sa.select(rejections).where(rejections.c.seq == seq)).mappings().first()
    return None if row is None else dead_letter_from(row)


def pending_numbers(database: Database, *, code: str | None = None, limit: int | None = None) -> list[int]:
    """Return the number of every dead letter that was not replayed, or of those with this code, oldest first."""
    query = (
        sa.select(rejections.c.seq).where(rejections.c.replayed_at.is_(None)).order_by(rejections.c.seq).limit(limit)
    )
    if code is not None:
        query = query.where(rejections.c.code == code)
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def newest_number(database: Database) -> int:
    """Return the number of the newest dead letter; 0 if there are none."""
    with database.read() as connection:
        return int(connection.execute(sa.select(sa.func.max(rejections.c.seq))).scalar() or 0)


def find_for_request(database: Database, request_id: str, *, after: int) -> DeadLetter | None:
    """Return the dead letter of a request with this id, with a number above ``after``."""
    same = (rejections.c.request_id == request_id, rejections.c.seq > after)
    query = sa.select(rejections).where(*same).order_by(rejections.c.seq)
    with database.read() as connection:
        row = connection.execute(query.limit(1)).mappings().first()
    return None if row is None else dead_letter_from(row)


def newest_number_for_request(database: Database, request_id: str) -> int | None:
    """Return the number of the newest dead letter with this id."""
    query = sa.select(sa.func.max(rejections.c.seq)).where(rejections.c.request_id == request_id)
    with database.read() as connection:
        seq: int | None = connection.execute(query).scalar()
    return seq


def mark_replayed(connection: Connection, seq: int) -> None:
    """Record that the dead letter was replayed."""
    connection.execute(sa.update(rejections).where(rejections.c.seq == seq).values(replayed_at=db_now()))
