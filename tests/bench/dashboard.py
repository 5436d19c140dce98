"""The dashboard with a million jobs in the ledger: ``python -m tests.bench.dashboard``.

For SQLite and PostgreSQL: the time to the first byte of each page, what a first visit transfers, and the share of a
core that 50 open pages take. The pages are asked for as browsers do it, compressed connections kept open and
``If-None-Match`` sent.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import requests
import sqlalchemy as sa

from consumer.ledger.database import Database
from consumer.ledger.schema import migrate
from tests.servers.postgres import Postgres
from tests.telecine_process import ROOT, TelecineProcess, wait_until

PAGES = ("/", "/jobs", "/jobs?state=failed&type=reel", "/jobs?tenant=t7", "/jobs/job-77", "/callbacks", "/dead-letters")
_POLL_SECONDS = 5.0
#: Rows of a finished job: the job, its timeline and its callback. One of a hundred has failed.
_FILL = (
    "INSERT INTO jobs (id, type, state, role, priority, tenant, fingerprint, request, door, received_at, started_at,"
    " finished_at, not_before, wakes, epoch, crashes, failures, duplicates, progress, cancel_requested, outcome, error)"
    " SELECT 'job-' || n, CASE WHEN n % 3 = 0 THEN 'reel' ELSE 'text-to-image' END,"
    " CASE WHEN n % 100 = 77 THEN 'failed' ELSE 'completed' END, 'render', 'normal', 't' || (n % 50), 'f',"
    ' \'{"id": "x", "type": "reel"}\', \'amqp\', :now - n, :now - n + 1, :now - n + 9, :now - n, 0, 1, 0, 0, 0, 100,'
    ' :no, \'{"outputs": []}\', CASE WHEN n % 100 = 77 THEN \'{"code": "render_failed", "message": "x"}\' END'
    " FROM numbers",
    "INSERT INTO timeline (job_id, at, event, epoch) SELECT 'job-' || n, :now - n, 'received', NULL FROM numbers",
    "INSERT INTO deliveries (id, job_id, event, url, body, state, attempts, created_at, epoch)"
    " SELECT 'msg_' || n, 'job-' || n, 'job.completed', 'https://a.example/', :body,"
    " CASE WHEN n % 1000 = 7 THEN 'exhausted' ELSE 'delivered' END, 1, :now - n + 9, 1 FROM numbers",
)
_NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count) "


def fill(database: Database, count: int) -> None:
    """Write so many finished jobs, as old as their number in seconds."""
    values = {"now": database.now(), "count": count, "no": False, "body": b"{}"}
    with database.write(durable=True) as connection:
        for statement in _FILL:
            head, select = statement.split(" SELECT ", 1)
            prefix = f"{head} {_NUMBERS}SELECT "
            needed = {name: value for name, value in values.items() if f":{name}" in prefix + select}
            connection.execute(sa.text(prefix + select), needed)
        if database.dialect == "postgresql":  # as autovacuum does
            connection.execute(sa.text("ANALYZE"))


def measure(url: str, jobs: int, seconds: float, viewers: int, looks: int) -> dict[str, Any]:
    """Fill the ledger, start the dashboard on it, and return the figures."""
    database = Database(url)
    migrate(database)
    fill(database, jobs)
    database.close()
    with tempfile.TemporaryDirectory() as folder:
        telecine = TelecineProcess(Path(folder), ledger_url=url, notes=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.cli.main", "dashboard", "--port", "0"],
            cwd=ROOT,
            env=telecine.inherited(),
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            address = next(line for line in process.stdout if line.startswith("Dashboard")).split()[1]
            threading.Thread(target=process.stdout.read, daemon=True).start()
            wait_until(lambda: requests.get(f"{address}/sign-in", timeout=60).ok)
            return {
                "first_byte_ms": {path: _first_byte(address + path, looks) for path in PAGES},
                "first_visit_bytes": _first_visit(address),
                "core_percent": _core_percent(process.pid, address, seconds, viewers),
            }
        finally:
            process.terminate()
            process.wait(30)


def _first_byte(url: str, looks: int) -> dict[str, float]:
    """Return median and maximum in milliseconds, after the first look at the page."""
    taken = []
    with requests.Session() as client:
        for number in range(looks + 1):
            start = time.perf_counter()
            with client.get(url, stream=True, timeout=120) as answer:
                assert answer.status_code == 200, answer.text
                taken.append((time.perf_counter() - start) * 1000)
                assert answer.content
            time.sleep(0.1 if number else 1.0)
    return {"median": round(statistics.median(taken[1:]), 1), "most": round(max(taken[1:]), 1)}


def _first_visit(address: str) -> dict[str, int]:
    """Return the bytes of each page with its style and scripts."""
    files = sum(
        len(requests.get(f"{address}/static/{name}", timeout=30).content)
        for name in ("style.css", "live.js", "idiomorph.js", "icon.svg")
    )
    return {path: files + len(requests.get(address + path, timeout=30).content) for path in PAGES}


def _core_percent(pid: int, address: str, seconds: float, viewers: int) -> float:
    """Return the share of a core that the process takes while pages are open."""
    end = time.monotonic() + seconds + 2

    def view(number: int) -> None:
        tag = ""
        with requests.Session() as client:
            time.sleep(number / viewers * _POLL_SECONDS)
            while time.monotonic() < end:
                answer = client.get(address + PAGES[number % 5], headers={"if-none-match": tag}, timeout=60)
                assert answer.status_code in (200, 304)
                tag = answer.headers["etag"]
                time.sleep(_POLL_SECONDS)

    looking = [threading.Thread(target=view, args=(number,)) for number in range(viewers)]
    for thread in looking:
        thread.start()
    time.sleep(2)
    process, start = psutil.Process(pid), time.monotonic()
    before = sum(process.cpu_times()[:2])
    time.sleep(seconds)
    used, took = sum(process.cpu_times()[:2]) - before, time.monotonic() - start
    for thread in looking:
        thread.join()
    return float(round(100 * used / took, 1))


def main() -> None:
    """Measure on both databases and print a table."""
    options = argparse.ArgumentParser(prog="python -m tests.bench.dashboard", description=__doc__)
    options.add_argument("--jobs", type=int, default=1_000_000)
    options.add_argument("--viewers", type=int, default=50)
    options.add_argument("--seconds", type=float, default=30.0)
    options.add_argument("--looks", type=int, default=30)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    how = (chosen.jobs, chosen.seconds, chosen.viewers, chosen.looks)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        sqlite = f"sqlite:///{folder}/ledger.sqlite3"
        found["SQLite"] = measure(sqlite, *how)
    server = Postgres()
    server.start()
    try:
        found["PostgreSQL"] = measure(
            server.create_database(), chosen.jobs, chosen.seconds, chosen.viewers, chosen.looks
        )
    finally:
        server.close()
    for name, figures in found.items():
        print(f"{name}, {chosen.jobs:,} jobs: {chosen.viewers} open pages take {figures['core_percent']} % of a core")
        for path, times in figures["first_byte_ms"].items():
            size = figures["first_visit_bytes"][path]
            print(f"  {path:32} first byte {times['median']:6.1f} ms (most {times['most']:.1f}); {size / 1000:.1f} kB")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({"jobs": chosen.jobs, "viewers": chosen.viewers, "ways": found}, indent=2))


if __name__ == "__main__":
    main()
