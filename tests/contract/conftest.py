"""The ledgers of the conformance suite, and the line of calls on each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.ledger.database import Database
from consumer.ledger.schema import migrate
from consumer.ledger.tables import metadata
from tests.call_line import Line
from tests.ledger_views import Ledger


@pytest.fixture(scope="module", params=["sqlite", "sqlite-shared", "postgresql"])
def opened_ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Yield a ledger that all tests of a module share."""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").create_database()
    else:
        url = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'ledger.sqlite3'}"
    first = Database(url)
    migrate(first)
    second = Database(url) if request.param == "sqlite-shared" else first
    yield Ledger(first, second)
    first.close()
    second.close()


@pytest.fixture
def ledger(opened_ledger: Ledger) -> Ledger:
    """Return the ledger of the module, emptied."""
    with opened_ledger.a.write() as connection:
        for table in metadata.sorted_tables:
            connection.execute(sa.delete(table))
    return opened_ledger


@pytest.fixture
def line_settings() -> dict[str, Any]:
    """Return the settings of ``line``. Modules override this fixture."""
    return {}


@pytest.fixture
def line(ledger: Ledger, tmp_path: Path, line_settings: dict[str, Any]) -> Iterator[Line]:
    """Yield jobs, their calls and the engine, on an empty ledger."""
    made = Line(ledger, tmp_path, **line_settings)
    yield made
    made.close()
