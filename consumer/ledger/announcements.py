"""Announces to an outbox that callbacks were queued, so that it need not wait for its next poll.

    commit ──> the outbox of this process, or of the process that started it
           └─> without either: NOTIFY ──> every outbox that listens, on any machine (PostgreSQL only)

An announcement may be lost: the outbox polls as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from consumer.logs import logger

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

log = logger(__name__)

CHANNEL = "telecine_callbacks"
# Asynchronous: PostgreSQL commits notifications one after the other, and each would wait for the disk.
_NOTIFY = f"SET LOCAL synchronous_commit TO off; NOTIFY {CHANNEL}"

_listeners: list[Callable[[], None]] = []


def subscribe(listener: Callable[[], None]) -> None:
    """Call ``listener``, in any thread, after each commit of this process that announces callbacks."""
    _listeners.append(listener)


def unsubscribe(listener: Callable[[], None]) -> None:
    """Call ``listener`` no more."""
    _listeners.remove(listener)


def announce(engine: Engine) -> None:
    """Announce that callbacks are committed. Never raises."""
    listeners = tuple(_listeners)
    for listener in listeners:
        listener()
    if listeners or engine.dialect.name != "postgresql":
        return
    try:
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql(_NOTIFY)
    except Exception as error:
        log.debug("callbacks_not_announced", reason=type(error).__name__)


def listen(engine: Engine) -> Any:
    """Return a connection of psycopg that receives the announcements of other processes, or ``None``.

    SQLite has none, and a pooler gives each transaction another connection.
    """
    if engine.dialect.name != "postgresql":
        return None
    pooled = engine.raw_connection()
    connection: Any = pooled.driver_connection
    pooled.detach()
    try:
        connection.autocommit = True
        is_direct = connection.execute("SELECT pg_backend_pid()").fetchone()[0] == connection.info.backend_pid
        if is_direct:
            connection.execute(f"LISTEN {CHANNEL}")
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None
