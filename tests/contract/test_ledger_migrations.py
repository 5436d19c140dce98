"""Migrations: the tables that they create are those that the code expects, on every database."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import consumer.ledger.migrations.versions
from consumer.ledger import queries, schema
from consumer.ledger.database import Database
from consumer.ledger.tables import metadata
from consumer.wiring import open_ledger
from ops.checks.ledger import ledger as ledger_check
from ops.cli.opening import opened_ledger
from schemas.errors import ConfigurationError
from schemas.settings import Settings

VERSIONS = Path(consumer.ledger.migrations.versions.__file__).parent
MIGRATE = """
import sys
from consumer.ledger import schema
from consumer.ledger.database import Database
database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
schema.migrate(database)
print(schema.ledger_version(database))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database that does not exist yet or is empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'ledger.sqlite3'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
def test_the_migrated_tables_are_the_tables_of_the_code(url: str) -> None:
    database = Database(url)
    assert schema.ledger_version(database) is None
    schema.migrate(database)
    schema.migrate(database)
    assert schema.ledger_version(database) == schema.HEAD
    with database.read() as connection:
        # Alembic cannot compare an index of an expression; a test of the query plan uses it.
        options = {"compare_type": True, "include_name": lambda name, *_: name != "ix_jobs_error_code"}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
        assert set(sa.inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}
    database.close()


def test_a_job_that_was_admitted_before_pins_existed_has_none(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(url)
    with monkeypatch.context() as older:
        older.setattr(schema, "HEAD", "0003")
        schema.migrate(database)
    with database.write() as connection:
        row = {
            "id": "'j'",
            "type": "'noop'",
            "state": "'received'",
            "role": "'io'",
            "priority": "'normal'",
            "fingerprint": "'f'",
            "request": "'{}'",
            "door": "'amqp'",
            "received_at": "1",
            "not_before": "1",
            "wakes": "0",
            "epoch": "0",
            "crashes": "0",
            "failures": "0",
            "duplicates": "0",
            "progress": "0",
            "cancel_requested": "false",
        }
        connection.execute(sa.text(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({', '.join(row.values())})"))
    schema.migrate(database)
    job = queries.find_job(database, "j")
    assert job is not None
    assert job.pins == {}
    database.close()


def test_the_newest_migration_file_is_the_head_and_the_files_are_one_chain() -> None:
    revisions = {}
    for path in sorted(VERSIONS.glob("[0-9]*.py")):
        scope: dict[str, object] = {}
        exec(compile(path.read_text(), path, "exec"), scope)
        assert path.name.startswith(f"{scope['revision']}_")
        revisions[scope["revision"]] = scope["down_revision"]
    names = list(revisions)
    assert names[-1] == schema.HEAD
    assert list(revisions.values()) == [None, *names[:-1]]


@pytest.fixture(params=[True, False], ids=["additive", "not additive"])
def newer(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Add a migration of a newer version; return whether it is additive."""
    folder = tmp_path / "versions"
    folder.mkdir()
    (folder / "9000_later.py").write_text(
        f'"""Later"""\nrevision, down_revision, additive = "9000", "{schema.HEAD}", {request.param}\n'
        "def upgrade() -> None:\n    pass\n"
    )
    monkeypatch.setattr(schema, "VERSIONS", (*schema.VERSIONS, folder))
    return bool(request.param)


def test_a_newer_ledger_can_be_used_if_what_followed_is_additive_friction_h8(
    newer: bool, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = Database(url)
    schema.prepare(database)
    with monkeypatch.context() as later:
        later.setattr(schema, "HEAD", "9000")
        assert [(m.version, m.additive) for m in schema.missing_migrations(schema.ledger_version(database))] == [
            ("9000", newer)
        ]
        schema.migrate(database)
    assert schema.ledger_version(database) == "9000"
    settings = Settings(home=tmp_path, ledger_url=url)
    for use in (schema.prepare, schema.migrate, lambda _: open_ledger(settings).close(), lambda _: list_jobs(settings)):
        if newer:
            use(database)
        else:
            with pytest.raises(ConfigurationError, match="run the newer version"):
                use(database)
    assert schema.ledger_version(database) == "9000"
    assert ledger_check(settings).verdict == ("ok" if newer else "fail")
    database.close()


def list_jobs(settings: Settings) -> None:
    """Read the ledger as ``telecine list`` does."""
    with opened_ledger(settings) as opened:
        queries.list_jobs(opened)


def test_reading_commands_do_not_migrate_friction_h8(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path, ledger_url=url)
    list_jobs(settings)  # an empty ledger stays empty
    database = Database(url)
    assert schema.ledger_version(database) is None
    for older in ("0003", "0005"):
        with monkeypatch.context() as before:
            before.setattr(schema, "HEAD", older)
            schema.migrate(database)
        if older == "0003":  # the jobs lack columns that this code reads
            with pytest.raises(ConfigurationError, match="run `telecine migrate`"):
                list_jobs(settings)
        else:
            list_jobs(settings)
        assert schema.ledger_version(database) == older
    if database.dialect == "postgresql":  # shared by machines
        with pytest.raises(ConfigurationError, match="run `telecine migrate`"):
            open_ledger(settings)
    else:
        open_ledger(settings).close()
        assert schema.ledger_version(database) == schema.HEAD
    database.close()


def test_processes_that_start_together_migrate_one_after_the_other(url: str) -> None:
    children = [Popen([sys.executable, "-c", MIGRATE, url], stdin=PIPE, stdout=PIPE, text=True) for _ in range(3)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    assert [child.communicate(timeout=60)[0] for child in children] == [f"{schema.HEAD}\n"] * 3
    assert [child.returncode for child in children] == [0, 0, 0]
