"""The ledger's schema: which version a database has, whether this code can use it, and its migration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.database import Database
from consumer.ledger.tables import schema_info
from schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from alembic.config import Config

#: The newest migration. A test compares it with the folder.
HEAD = "0010"
#: The folders of the migrations.
VERSIONS: tuple[Path, ...] = (Path(__file__).parent / "migrations" / "versions",)

# The key of PostgreSQL's advisory lock while one process migrates: any number, the same everywhere.
_LOCK = 7_265_438_111


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration."""

    version: str
    title: str
    #: Whether code that does not know it may continue to use the ledger.
    additive: bool


def ledger_version(database: Database) -> str | None:
    """Return the migration that the ledger is at, or ``None`` if it has no tables yet. Changes nothing."""
    with database.read() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        version: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        return version


def oldest_version(database: Database) -> str | None:
    """Return the oldest version whose code can use the ledger, or ``None`` if the ledger does not record it."""
    with database.read() as connection:
        if not sa.inspect(connection).has_table(schema_info.name):
            return None
        version: str | None = connection.execute(sa.select(schema_info.c.oldest_version)).scalar()
        return version


def check_not_too_new(database: Database, version: str | None) -> None:
    """Check that this code can use a ledger of this version.

    Raises:
        ConfigurationError: A newer Telecine made a change that this one must know.
    """
    if version is None or version <= HEAD:
        return
    oldest = oldest_version(database) or version
    if oldest > HEAD:
        raise ConfigurationError(
            f"the ledger is at schema version {version}, which needs a Telecine that knows version {oldest}, but this "
            f"one knows versions up to {HEAD}; run the newer version of Telecine"
        )


def prepare(database: Database) -> None:
    """Make the ledger ready for a service: create an empty one, and migrate an older one if it is SQLite.

    A ledger on PostgreSQL is shared by machines, and is migrated by ``telecine migrate``.

    Raises:
        ConfigurationError: The ledger has to be migrated first, or is too new.
    """
    version = ledger_version(database)
    if version is None or (version < HEAD and database.dialect == "sqlite"):
        migrate(database)
    elif version < HEAD:
        raise ConfigurationError(
            f"the ledger is at schema version {version}, this Telecine needs {HEAD}; "
            "back it up, then run `telecine migrate`"
        )
    else:
        check_not_too_new(database, version)


def migrate(database: Database) -> None:
    """Apply the missing migrations. Processes that start together do it one after the other.

    Raises:
        ConfigurationError: The ledger is too new.
    """
    version = ledger_version(database)
    check_not_too_new(database, version)
    if version is not None and version >= HEAD:
        return
    with database.write(durable=True) as connection:
        if database.dialect == "postgresql":
            connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        _upgrade(connection)


def missing_migrations(version: str | None) -> list[Migration]:
    """Return the migrations that a ledger of this version lacks, oldest first."""
    return [found for found in _migrations(_config()) if version is None or found.version > version]


def _upgrade(connection: Connection) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
    if sa.inspect(connection).has_table(schema_info.name):
        oldest = max(found.version for found in _migrations(config) if not found.additive)
        connection.execute(sa.delete(schema_info))
        connection.execute(sa.insert(schema_info).values(oldest_version=oldest))


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(map(str, VERSIONS)))
    return config


def _migrations(config: Config) -> list[Migration]:
    """Return all migrations up to ``HEAD``, oldest first."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(config).iterate_revisions(HEAD, "base")
    found = [Migration(script.revision, script.doc, script.module.additive) for script in scripts]
    return found[::-1]
