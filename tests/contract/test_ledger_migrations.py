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


def test_the_migrated_tables_are_the_tables_of_the_code(url: str) -> None:
    database = Database(url)
    assert schema.ledger_version(database) is None
    schema.migrate(database)
    schema.migrate(database)
    assert schema.ledger_version(database) == schema.HEAD
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []
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
