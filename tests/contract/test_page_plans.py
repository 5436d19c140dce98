"""The queries of pages are bounded by an index, however many jobs and callbacks there are."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.ledger import browsing, due, queries
from consumer.ledger.claims import claim_next
from consumer.ledger.database import Database
from consumer.ledger.tables import deliveries, jobs
from consumer.ledger.turns import Turns
from ops.waiting_on import waits_of
from tests.contract.test_ledger_conformance import many_jobs_row
from tests.ledger_views import Ledger

ROWS = 4_000


def callback(number: int) -> dict[str, Any]:
    """Return the row of a callback; one of a hundred was given up."""
    return {
        "id": f"msg_{number}",
        "job_id": f"j{number}",
        "event": "job.completed",
        "url": "https://a.example/",
        "body": b"{}" * 50,
        "state": "delivered" if number % 100 else "exhausted",
        "created_at": float(number),
    }


@pytest.mark.parametrize(
    ("read", "bounds"),
    [
        (
            lambda database: queries.list_jobs(database, tenant="acme", type_="story_to_video", limit=5),
            ("ix_jobs_tenant_received_at (tenant=?", "tenant)::text = 'acme'"),
        ),
        (
            lambda database: browsing.list_deliveries(database, before=(20.0, "x"), limit=5),
            ("ix_deliveries_created_at (created_at<?)", "Index Cond: (created_at <= '20'"),
        ),
        (
            lambda database: queries.delivery_ids(database, state="exhausted", limit=5),
            ("ix_deliveries_state_created_at (state=?)", "ix_deliveries_state_created_at"),
        ),
        (
            lambda database: queries.count_deliveries(database, delivered=False),
            ("ix_deliveries_state_created_at", "ix_deliveries_state_created_at"),
        ),
        (
            lambda database: queries.count_completed_jobs(database, seconds=3600),
            ("ix_jobs_state_received_at (state=? AND received_at>?)", "(received_at >= $0"),
        ),
    ],
    ids=["tenant and type", "older callbacks", "callbacks to replay", "callbacks not delivered", "completed jobs"],
)
def test_a_page_reads_no_more_than_it_shows(
    read: Callable[[Database], object], bounds: tuple[str, str], ledger: Ledger
) -> None:
    database = ledger.a
    with database.write() as connection:
        connection.execute(sa.insert(jobs), [many_jobs_row(number) for number in range(ROWS)])
        connection.execute(sa.insert(deliveries), [callback(number) for number in range(ROWS)])
        if database.dialect == "postgresql":
            connection.execute(sa.text("ANALYZE jobs, deliveries"))
    plan: list[str] = []
    sqlite = database.dialect == "sqlite"

    def record(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            explain = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN "
            plan.extend(str(row) for row in connection.exec_driver_sql(explain + statement, parameters))

    sa.event.listen(database._normal, "before_cursor_execute", record)
    try:
        read(database)
    finally:
        sa.event.remove(database._normal, "before_cursor_execute", record)
    assert bounds[0 if sqlite else 1] in "\n".join(plan)


def fill_lines(ledger: Ledger, count: int) -> None:
    """Write so many jobs that wait in three lines, are scheduled, back off, run, and have ended."""
    row = many_jobs_row(2) | {"wake_at": 0.0, "not_before": 0.0, "lease_until": None, "line": None}
    kinds: dict[str, dict[str, Any]] = {
        "waiting": {"state": "received"},
        "scheduled": {"state": "received", "wake_at": 9e9, "not_before": 9e9},
        "failed": {"state": "waiting", "wake_at": 8e9, "not_before": 8e9},
        "running": {"state": "running", "wake_at": 9e9, "lease_until": 9e9},
        "ended": {"state": "completed", "wake_at": None},
    }
    rows = [
        row | more | {"id": f"{kind}{number}", "received_at": 1.0 + number, "tenant": f"t{number % 3}"}
        for kind, more in kinds.items()
        for number in range(count)
    ]
    with ledger.a.write() as connection:
        connection.execute(sa.insert(jobs), rows)
        connection.execute(sa.update(jobs).where(jobs.c.id.startswith("waiting")).values(line=jobs.c.tenant))
        if ledger.a.dialect == "postgresql":
            connection.execute(sa.text("ANALYZE jobs"))


@pytest.mark.parametrize("most", [1, 50])
def test_claiming_and_sweeping_read_what_they_take_however_many_jobs_wait(ledger: Ledger, most: int) -> None:
    """Whatever waits in lines, is scheduled, backs off or runs: no query reads it to find the next jobs."""
    fill_lines(ledger, 3000)
    database = ledger.a
    sqlite = database.dialect == "sqlite"
    explain = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN ANALYZE "
    plan: list[str] = []

    def record(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            plan.extend(str(row) for row in connection.exec_driver_sql(explain + statement, parameters))

    for engine in {database._full, database._normal}:
        sa.event.listen(engine, "before_cursor_execute", record)
    try:
        turns = Turns()
        claims = [claim_next(database, "ended7", owner="one", seconds=60, most=lambda _: most, turns=turns)]
        claims += [claim_next(database, "ended7", owner="one", seconds=60, turns=turns) for _ in range(2)]
        claiming = "\n".join(plan)
        with database.write() as connection:
            connection.execute(sa.update(jobs).where(jobs.c.line.is_not(None)).values(wake_at=None))
        plan.clear()
        assert not claim_next(database, "scheduled0", owner="one", seconds=60, turns=turns)
        idle = "\n".join(plan)
        plan.clear()
        due.take_due(database, limit=50, again_seconds=60)
    finally:
        for engine in {database._full, database._normal}:
            sa.event.remove(engine, "before_cursor_execute", record)
    assert sorted(claim.job.id for claim in claims[0])[:2] == ["waiting0", "waiting1"][:most]
    assert len(claims[0]) == most
    assert "ix_jobs_line" in claiming
    assert "ix_jobs_open" in idle  # it also looks for due jobs that an older version left outside
    for all_rows in ("Seq Scan on jobs", "SCAN jobs", "TEMP B-TREE", "Sort Key"):
        assert all_rows not in claiming + idle
    for plans, most_read in ((claiming, 2 * most), (idle, 100)):
        removed = [int(number) for number in re.findall(r"Rows Removed by Filter: (\d+)", plans)]
        assert sum(removed) <= most_read, plans
    assert "ix_jobs_wake_at (wake_at<?)" in "\n".join(plan) or "Index Cond: (wake_at <= " in "\n".join(plan)


def test_what_thirty_jobs_wait_for_takes_as_many_reads_as_for_one(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.admit(*({"id": f"j{number}"} for number in range(30)))
    found = queries.list_jobs(ledger.a, limit=50)
    reads: list[Database] = []
    real = Database.read

    def read(database: Database) -> Any:
        reads.append(database)
        return real(database)

    monkeypatch.setattr(Database, "read", read)
    needed = []
    for some in (found[:1], found):
        reads.clear()
        waits = waits_of(ledger.a, some, embedded=False)
        assert len(waits) == len(some)
        assert all("a free worker with role render" in reason for reason in waits.values())
        needed.append(len(reads))
    assert needed[0] == needed[1]
