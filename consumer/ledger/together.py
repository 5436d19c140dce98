"""Several writes in one transaction: they wait for the disk once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn, TypeVar

from sqlalchemy.engine import Connection

from consumer.ledger.database import Database, is_ledger_fault

T = TypeVar("T")


class _Joined(Database):
    """The database inside a transaction that is open: what is written becomes part of it."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self.url, self.dialect = database.url, database.dialect
        self._connection = connection

    @contextlib.contextmanager
    def write(self, *, durable: bool = False) -> Iterator[Connection]:
        yield self._connection

    def write_deferred(self) -> NoReturn:
        """Refuse: the whole transaction would not wait for the disk."""
        raise NotImplementedError

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        yield self._connection


def write_together(database: Database, writes: Sequence[Callable[[Database], T]]) -> list[T | Exception]:
    """Make the writes in one durable transaction, and return what each returned or raised.

    Each takes the database to write to. If one fails, each is made again in a transaction of its own.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The ledger failed, see ``is_ledger_fault``; perhaps all were written.
    """
    if len(writes) > 1:
        try:
            with database.write(durable=True) as connection:
                joined = _Joined(database, connection)
                return [write(joined) for write in writes]
        except Exception as error:
            if is_ledger_fault(error):
                raise
    return [_result(write, database) for write in writes]


def _result(write: Callable[[Database], T], database: Database) -> T | Exception:
    try:
        return write(database)
    except Exception as error:
        return error
