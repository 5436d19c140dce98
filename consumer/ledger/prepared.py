"""Statements that are compiled once: SQLAlchemy spends more time on a small statement than the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, CursorResult


def given(name: str) -> sa.BindParameter[Any]:
    """Return the place of a value that ``Prepared.execute`` is given."""
    return sa.bindparam(name, None)  # a parameter without a value could not be compiled


class Prepared:
    """A statement whose text is kept. Values are passed to the driver as they are: numbers, texts, bytes or null."""

    def __init__(self, statement: sa.ClauseElement) -> None:
        self._statement = statement
        self._texts: dict[str, tuple[str, Mapping[str, Any], Sequence[str] | None]] = {}

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Execute the statement with these values."""
        text, constants, order = self._texts.get(connection.dialect.name) or self._compile(connection)
        named = {**constants, **values}
        return connection.exec_driver_sql(text, named if order is None else tuple([named[name] for name in order]))

    def _compile(self, connection: Connection) -> tuple[str, Mapping[str, Any], Sequence[str] | None]:
        # The values of lists, such as states, become part of the text.
        options = {"render_postcompile": True}
        compiled: Any = self._statement.compile(dialect=connection.dialect, compile_kwargs=options)
        # Names for psycopg, places for SQLite.
        found = (str(compiled), compiled.params, compiled.positiontup if compiled.positional else None)
        self._texts[connection.dialect.name] = found
        return found
