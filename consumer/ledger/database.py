"""The connection to the ledger: one way to read, one way to write, two dialects.

SQLite runs in WAL mode with one writer at a time. ``durable`` writes wait for the disk
(``synchronous=FULL``); the others survive a killed process but not a power cut (``NORMAL``). On
PostgreSQL every commit is durable, because a power cut could cause a fencing number to be used twice. Only a
``deferred`` one is not: it survives a killed worker, but not a crash of the server.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Dialect, Engine, make_url
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from consumer.failpoints import failpoint
from consumer.ledger import announcements
from schemas.errors import ConfigurationError
from schemas.settings import Settings

BUSY_SECONDS = 30.0

# A PostgreSQL that vanished without closing its connections is noticed in half a minute. With the system's
# defaults every loop and heartbeat would wait for two hours. Options in the URL take precedence.
_LIBPQ = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


#: PostgreSQL ends a transaction that is idle for this long. Otherwise a worker that was stopped or whose machine
#: sleeps inside one would keep all others waiting for its row locks.
IDLE_SECONDS = 60

#: A connection that was not used for so long is checked before it is used.
PING_SECONDS = 0.5

#: A key of ``Connection.info``: the transaction has queued a callback.
QUEUED = "telecine.callback_queued"

#: The lock of the writing thread, by SQLite file. A forked child starts without any.
_TURNS: dict[str, threading.Lock] = {}
os.register_at_fork(after_in_child=_TURNS.clear)


class db_now(FunctionElement[float]):
    """The database's clock in epoch seconds, as SQL. Leases use no other clock."""

    type = sa.Double()
    inherit_cache = True


@compiles(db_now, "sqlite")
def _now_sqlite(element: db_now, compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(db_now, "postgresql")
def _now_postgresql(element: db_now, compiler: Any, **options: Any) -> str:
    return "cast(extract(epoch from clock_timestamp()) as double precision)"


class Database:
    """The ledger's database. Opens connections when needed; ``close`` it before a fork."""

    def __init__(self, url: str | URL) -> None:
        self.url = make_url(url)
        self.dialect = self.url.get_backend_name()
        if self.dialect == "sqlite" and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        if self.dialect == "sqlite":
            self._normal, self._full = self._sqlite_engine("NORMAL"), self._sqlite_engine("FULL")
        else:
            self._normal = self._full = self._server_engine()
        self._reading = self._normal.execution_options(reading=True)
        #: Whether a deferred commit has queued a callback that is not announced yet.
        self._unannounced = False

    def _server_engine(self) -> Engine:
        patience = {name: value for name, value in _LIBPQ.items() if name not in self.url.query}
        engine = sa.create_engine(
            self.url,
            # A pooler such as pgbouncer gives each transaction another connection, without the statements that
            # psycopg would prepare after their fifth use.
            connect_args={**patience, "prepare_threshold": None},
            # The isolation level that the statements are written for; under a stricter default most would fail.
            isolation_level="READ COMMITTED",
            pool_size=5,
            max_overflow=20,
            hide_parameters=True,  # otherwise errors put requests and signed URLs into the log
        )
        # As a statement: a pooler refuses it in the URL.
        sa.event.listen(engine, "connect", _bound_idling)
        sa.event.listen(engine, "checkin", _note_use)
        sa.event.listen(engine, "checkout", _ping_if_idle)
        return engine

    def _sqlite_engine(self, synchronous: str) -> Engine:
        engine = sa.create_engine(
            self.url,
            connect_args={"timeout": BUSY_SECONDS},
            pool_size=5,
            max_overflow=50,
            hide_parameters=True,
        )

        @sa.event.listens_for(engine, "do_connect")
        def _create(*_: Any) -> None:
            _create_private(self.url.database)

        @sa.event.listens_for(engine, "connect")
        def _connect(connection: Any, record: Any) -> None:
            connection.isolation_level = None  # transactions begin below, and nowhere else
            _use_wal(connection)
            connection.execute(f"PRAGMA synchronous={synchronous}")
            connection.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            reading = connection.get_execution_options().get("reading", False)
            _begin_sqlite(connection, "BEGIN" if reading else "BEGIN IMMEDIATE")

        return engine

    @contextlib.contextmanager
    def write(self, *, durable: bool = False) -> Iterator[Connection]:
        """Begin a transaction: committed at the end, rolled back if the body raises."""
        with self._turn(), (self._full if durable else self._normal).begin() as connection:
            yield connection
            queued = connection.info.pop(QUEUED, False)
        if queued or (durable and self._unannounced):
            self._unannounced = False
            self.announce_callbacks()

    @contextlib.contextmanager
    def write_deferred(self) -> Iterator[Connection]:
        """Do as ``write``, and on PostgreSQL wait for no disk: the next commit that waits makes it durable too."""
        with self.write() as connection:
            if self.dialect == "postgresql":
                connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")
            yield connection
            queued = connection.info.pop(QUEUED, False)
        self._unannounced |= queued

    def announce_callbacks(self) -> None:
        """Announce to the outbox that callbacks are committed; those of deferred commits with the next durable one."""
        failpoint("outbox.queued")
        announcements.announce(self._normal)

    def listen(self) -> Any:
        """Return a connection that receives the announcements of other processes, or ``None``."""
        return announcements.listen(self._normal)

    def _turn(self) -> contextlib.AbstractContextManager[object]:
        """Wait for this thread's turn to write to SQLite; on PostgreSQL writers do not wait for each other.

        SQLite itself makes a waiting writer sleep up to 100 ms before it tries again, so that with ten writing threads
        the database is idle most of the time. Between processes that remains so.
        """
        if self.dialect != "sqlite" or not self.url.database:
            return contextlib.nullcontext()
        return _TURNS.setdefault(self.url.database, threading.Lock())

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Begin a read-only transaction with a consistent view. Does not block writers."""
        with self._reading.connect() as connection:
            yield connection

    def now(self) -> float:
        """Return the database's time in epoch seconds."""
        with self.read() as connection:
            return float(connection.execute(sa.select(db_now())).scalar_one())

    def is_read_only(self) -> bool:
        """Return whether the database refuses writes, as a standby server and a file on a read-only disk do."""
        if self.dialect == "sqlite":
            file = self.url.database or ""
            return Path(file).exists() and not os.access(file, os.W_OK)
        with self.read() as connection:
            return bool(connection.execute(sa.text("SHOW transaction_read_only")).scalar_one() == "on")

    def close(self) -> None:
        """Close every pooled connection. The database can be used again afterwards."""
        self._normal.dispose()
        self._full.dispose()

    def insert(self, table: sa.Table) -> Any:
        """Return an ``INSERT`` that supports ``ON CONFLICT`` in this database's dialect."""
        return insertion(self.dialect, table)


def insertion(dialect: str, table: sa.Table) -> Any:
    """Return an ``INSERT`` that supports ``ON CONFLICT`` in this dialect."""
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
    return insert(table)


def connect_ledger(settings: Settings) -> Database:
    """Open the ledger as it is.

    Raises:
        ConfigurationError: the database's driver is not installed.
    """
    try:
        return Database(settings.ledger)
    except ImportError as error:
        raise ConfigurationError(
            f"TELECINE_LEDGER_URL needs a driver: {error.name}; pip install '.[postgres]' in Telecine's folder"
        ) from None


def _create_private(database: str | None) -> None:
    """Create a SQLite file that only its owner can read: it holds requests and presigned URLs.

    SQLite gives its journal files the same mode. The mode of an existing file is left as it is.
    """
    if not database or database == ":memory:" or database.startswith("file:"):
        return
    with contextlib.suppress(OSError):  # SQLite itself says why it cannot open the file
        os.close(os.open(database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _begin_sqlite(connection: Connection, statement: str) -> None:
    """Begin a transaction by the driver's own connection: SQLAlchemy's way costs more than the statement."""
    try:
        connection.connection.execute(statement)
    except sqlite3.Error as error:
        raise sa.exc.DBAPIError.instance(statement, None, error, sqlite3.Error) from error


def _bound_idling(connection: Any, record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
    connection.commit()


def _note_use(connection: Any, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _ping_if_idle(connection: Any, record: Any, proxy: Any) -> None:
    """Check a connection that was idle for a while, before it is used: the pool replaces it if the server is gone.

    SQLAlchemy's own ``pool_pre_ping`` asks each time: a round trip for every transaction of a busy process.
    """
    if "used" not in record.info or time.monotonic() - record.info["used"] < PING_SECONDS:
        return  # it is new, or in use
    try:
        connection.execute("SELECT 1")
        connection.rollback()
    except Exception as error:
        raise sa.exc.DisconnectionError from error


def _use_wal(connection: sqlite3.Connection) -> None:
    # SQLite ignores the busy timeout for this one lock: https://www.sqlite.org/wal.html, section 8.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def is_ledger_fault(error: Exception) -> bool:
    """Return whether the error is the ledger's fault, not that of the values: the same write may succeed later.

    For example: unreachable, read-only after a failover, without a table or a permission.
    """
    if not isinstance(error, sa.exc.SQLAlchemyError):
        return False
    if isinstance(error, sa.exc.DBAPIError):
        return not isinstance(error, sa.exc.DataError | sa.exc.IntegrityError)
    return not isinstance(error, sa.exc.StatementError)  # StatementError: a value could not be bound


def lacks_schema(error: sa.exc.DBAPIError) -> bool:
    """Return whether the statement failed because a table or column does not exist."""
    # PostgreSQL's codes for an undefined table and column; SQLite has a text only.
    return getattr(error.orig, "sqlstate", None) in ("42P01", "42703") or str(error.orig).startswith("no such ")


def describe(dialect: Dialect | str) -> str:
    """Return the database's name for people, without its password."""
    name = dialect if isinstance(dialect, str) else dialect.name
    return {"sqlite": "SQLite", "postgresql": "PostgreSQL"}.get(name, name)
