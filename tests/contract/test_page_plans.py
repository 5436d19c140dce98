"""The queries of pages are bounded by an index, however many jobs and callbacks there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.ledger import browsing, due, queries
from consumer.ledger.database import Database
from consumer.ledger.tables import deliveries, jobs
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


def test_the_next_job_is_found_without_reading_ended_or_waiting_ones(ledger: Ledger) -> None:
    """Also with 100,000 of them: the line of open jobs is an index, and its first one is taken."""
    database = ledger.a
    open_jobs = {"state": "received", "tenant": None, "not_before": 0.0, "wake_at": 0.0}
    with database.write() as connection:
        ended = [many_jobs_row(number) | {"state": "completed", "wake_at": None} for number in range(ROWS)]
        waiting = [
            ended[number] | open_jobs | {"id": f"w{number}", "received_at": 9e8 + number} for number in range(500)
        ]
        connection.execute(sa.insert(jobs), ended + waiting)
        if database.dialect == "postgresql":
            connection.execute(sa.text("ANALYZE jobs"))
    plan: list[str] = []
    explain = "EXPLAIN QUERY PLAN " if database.dialect == "sqlite" else "EXPLAIN "

    def record(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT jobs."):
            plan.extend(str(row) for row in connection.exec_driver_sql(explain + statement, parameters))

    sa.event.listen(database._full, "before_cursor_execute", record)
    try:
        claimed = [due.claim_next(database, "w7", owner="one", seconds=60) for _ in range(3)]
    finally:
        sa.event.remove(database._full, "before_cursor_execute", record)
    assert [claim.job.id for (claim,) in claimed] == ["w0", "w1", "w2"]
    lines = "\n".join(plan)
    assert lines.count("ix_jobs_open") == 6, lines
    assert "Seq Scan on jobs" not in lines
    assert "SORT" not in lines.upper().replace("SORT KEY", "")


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
