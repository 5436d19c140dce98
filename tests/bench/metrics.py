"""``/metrics`` with a million jobs in the ledger: ``python -m tests.bench.metrics``.

For SQLite and PostgreSQL: the time of a scrape, with a backlog of open jobs and with what two seconds of 1,000 jobs add
to the log of the counters; and how long the log takes to be added up.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consumer.ledger.counters import BATCH, add_up
from consumer.ledger.database import Database
from consumer.ledger.schema import migrate
from ops.health import HealthServer
from ops.ledger_probe import LedgerProbe
from schemas.accounts import Budget
from schemas.settings import Settings
from tests.bench.dashboard import fill
from tests.servers.postgres import Postgres

_OPEN = (
    "UPDATE jobs SET state = 'received', finished_at = NULL, outcome = NULL, error = NULL, wake_at = received_at"
    " WHERE received_at > :now - :count"
)
_END = (
    "UPDATE jobs SET state = 'completed', finished_at = :now, wake_at = NULL"
    " WHERE state = 'received' AND received_at > :now - :count"
)
_CALLS = (
    "INSERT INTO calls (id, job_id, step, attempt, provider, model, tenant, urgency, state, request, epoch, queued_at,"
    " submitted_at, finished_at, polls, failures, cancel_requested, reserved, spent)"
    " SELECT 'call-' || id, id, 'make', 1, 'pika', 'pika', tenant, 1, 'done', '{}', 1, received_at, received_at,"
    " finished_at, 5, 0, :no, 0, 450000 FROM jobs"
    " WHERE received_at > :now - :count"
)


def measure(url: str, jobs: int, backlog: int, calls: int, ended: int, looks: int) -> dict[str, Any]:
    """Fill the ledger, scrape it over HTTP, and return the figures in milliseconds."""
    database = Database(url)
    migrate(database)
    fill(database, jobs)
    now = database.now()
    with database.write(durable=True) as connection:
        connection.execute(sa.text(_CALLS), {"now": now, "count": calls, "no": False})
        connection.execute(sa.text(_OPEN), {"now": now, "count": backlog + ended})
        connection.execute(sa.text(_END), {"now": now, "count": ended})
        if database.dialect == "postgresql":
            connection.execute(sa.text("ANALYZE"))  # as autovacuum does
    budgets = {f"t{number}": Budget(usd=50) for number in range(5)}
    server = HealthServer("127.0.0.1", 0, LedgerProbe(database), settings=Settings(budgets=budgets))
    server.start()
    try:
        scrape = _scrapes(server.url, looks)
        start = time.perf_counter()
        while add_up(database) == BATCH:
            pass
        adding = (time.perf_counter() - start) * 1000
        return {"scrape_ms": scrape, "idle_scrape_ms": _scrapes(server.url, looks), "add_up_ms": round(adding, 1)}
    finally:
        server.stop()
        database.close()


def _scrapes(url: str, looks: int) -> dict[str, float]:
    taken = []
    for _ in range(looks + 1):
        start = time.perf_counter()
        with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
            text = answer.read()
        taken.append((time.perf_counter() - start) * 1000)
        assert b"telecine_ledger_up 1.0" in text
    return {"median": round(statistics.median(taken[1:]), 1), "most": round(max(taken[1:]), 1), "bytes": len(text)}


def main() -> None:
    """Measure on both databases and print the figures."""
    options = argparse.ArgumentParser(prog="python -m tests.bench.metrics", description=__doc__)
    options.add_argument("--jobs", type=int, default=1_000_000)
    options.add_argument("--backlog", type=int, default=2_000, help="jobs that have not ended")
    options.add_argument("--calls", type=int, default=100_000, help="calls of this month")
    options.add_argument(
        "--ended", type=int, default=2_000, help="jobs that have ended since the counters were added up"
    )
    options.add_argument("--looks", type=int, default=30)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    how = (chosen.jobs, chosen.backlog, chosen.calls, chosen.ended, chosen.looks)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        found["SQLite"] = measure(f"sqlite:///{folder}/ledger.sqlite3", *how)
    server = Postgres()
    server.start()
    try:
        found["PostgreSQL"] = measure(server.create_database(), *how)
    finally:
        server.close()
    for name, figures in found.items():
        times = figures["scrape_ms"]
        print(
            f"{name}, {chosen.jobs:,} jobs: a scrape takes {times['median']} ms (most {times['most']});"
            f" {figures['idle_scrape_ms']['median']} ms with an empty log;"
            f" adding up {chosen.ended:,} jobs {figures['add_up_ms']} ms"
        )
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({"jobs": chosen.jobs, "ways": found}, indent=2))


if __name__ == "__main__":
    main()
