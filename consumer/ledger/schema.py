"""Migrate a ledger to the newest schema. Every process does it at start; one query if there is nothing to do."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.database import Database
from schemas.errors import ConfigurationError

#: The newest migration. A test compares it with the folder.
HEAD = "0005"

# The key of PostgreSQL's advisory lock while one process migrates: any number, the same everywhere.
_LOCK = 7_265_438_111


def migrate(database: Database) -> None:
    """Apply the missing migrations. Processes that start together do it one after the other."""
    version = ledger_version(database)
    if version == HEAD:
        return
    if version is not None and version > HEAD:
        raise ConfigurationError(
            f"the ledger is at schema {version}, but this Telecine knows schemas up to {HEAD}; run the newer version"
        )
    with database.write(durable=True) as connection:
        if database.dialect == "postgresql":
            connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        _upgrade(connection)


def ledger_version(database: Database) -> str | None:
    """Return the migration that the ledger is at, or ``None`` if it has no tables yet. Changes nothing."""
    with database.read() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        version: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        return version


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
