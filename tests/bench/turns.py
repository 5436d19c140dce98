"""What waiting jobs cost: ``python -m tests.bench.turns``. Prints Markdown.

Claims with many jobs in the ledger that wait, are scheduled and back off, of one and of many tenants; and how long the
job of one tenant takes behind a flood of another, next to an idle system and to bare Celery, which has one line.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from kombu import Connection

import tests.note_pipeline  # noqa: F401 - registers the job type
from consumer.doors.amqp import declare
from consumer.ledger.claims import claim_next
from consumer.ledger.database import Database
from consumer.ledger.queries import find_job
from consumer.ledger.schema import migrate
from consumer.ledger.states import State
from consumer.ledger.tables import jobs
from consumer.ledger.turns import Turns
from tests.bench.lines import Line, prepared
from tests.bench.messages import lines, servers
from tests.bench.noop.counter import VARIABLE
from tests.bench.queues import Broker, publish, request
from tests.bench.rivals import rivals
from tests.servers.process import end, spawn
from tests.telecine_process import ROOT, wait_until

#: By the prefix of their ids: state, seconds until they are due, and whether they wait in a line.
_KINDS = {
    "waiting": ("received", -20_000, True),
    "scheduled": ("received", 90_000, False),
    "late": ("waiting", 900, False),
}
_FILL = (
    "INSERT INTO jobs (id, type, state, role, priority, tenant, line, fingerprint, request, door, received_at,"
    " not_before, wake_at, wakes, epoch, crashes, failures, duplicates, progress, cancel_requested)"
    " WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :last)"
    " SELECT '{kind}-' || n, 'noop', '{state}', 'io', 'normal', 't' || (n % :tenants), {line}, 'f', '{{}}', 'amqp',"
    " :now - 20000 + n * 0.001, :now + {seconds}, :now + {seconds} + 30000 * {waits}, 0, 0, 0, 0, 0, 0, :no"
    " FROM numbers"
)


def fill_waiting(database: Database, count: int, tenants: int) -> None:
    """Write so many jobs of each kind."""
    values = {"now": database.now(), "last": count - 1, "tenants": tenants, "no": False}
    with database.write() as connection:
        for kind, (state, seconds, waits) in _KINDS.items():
            line = "'t' || (n % :tenants)" if waits else "NULL"
            statement = _FILL.format(kind=kind, state=state, seconds=seconds, line=line, waits=int(waits))
            connection.execute(sa.text(statement), values)
        if database.dialect == "postgresql":  # as autovacuum does
            connection.execute(sa.text("ANALYZE jobs"))


def claims(url: str, count: int, tenants: int, samples: int) -> dict[str, float]:
    """Return the milliseconds of a claim of one job and of fifty, with so many jobs of each kind."""
    database = Database(url)
    try:
        migrate(database)
        fill_waiting(database, count, tenants)
        turns, found = Turns(), {}
        for name, most in (("one_ms", 1), ("group_ms", 50)):
            together = {"noop": most}
            taken = []
            for _ in range(samples):
                start = time.perf_counter()
                claimed = claim_next(database, "late-0", owner="b", seconds=600, most=together.__getitem__, turns=turns)
                taken.append((time.perf_counter() - start) * 1000)
                assert len(claimed) == most
            found[name] = round(statistics.median(taken), 2)
        return found
    finally:
        database.close()


def telecine(broker: Broker, line: Line, count: int) -> dict[str, float]:
    """Return the seconds of a tenant's job when nothing else waits, and behind a flood of another tenant.

    The former from its publication to its end. Of the latter there is one in the flood's queue and one in a queue of
    its own, published last: ``door`` is how long the former took to get into the ledger, behind the flood; ``ledger``
    how long it and the other took from there, once workers run, to their ends. ``jobs_before`` is how many jobs of the
    flood were begun meanwhile.
    """
    with prepared(broker, line) as started:
        own = f"{started.queue}.own"
        started.process.environment["TELECINE_AMQP_QUEUES"] = f"{started.queue},{own}"
        with Connection(broker.url) as connection:
            declare(connection.channel(), [own], delivery_limit=20)
        started.process.start(arguments=("up", "--roles", "io"))
        idle = []
        for number in range(6):
            published = time.time()
            with broker.channel() as channel:
                publish(channel, own, request(count + number, tenant="rare"))
            idle.append(_ended(started.database, count + number).finished_at - published)
        started.process.kill()
        with broker.channel() as channel:
            for number in range(count):
                publish(channel, started.queue, request(number, tenant="flood"))
            for number, queue in ((count + 10, started.queue), (count + 11, own)):
                publish(channel, queue, request(number, tenant=queue))
        started.process.start(arguments=("up", "--roles", "io"))
        same_queue, own_queue = (_ended(started.database, count + number) for number in (10, 11))
        of_flood = jobs.c.tenant == "flood"
        with started.database.read() as connection:
            times = sa.select(sa.func.min(jobs.c.received_at), sa.func.min(jobs.c.started_at)).where(of_flood)
            received, begun = connection.execute(times).one()
            before = []
            for job in (same_queue, own_queue):
                meanwhile = (of_flood, jobs.c.started_at > job.received_at, jobs.c.started_at < job.started_at)
                before.append(connection.execute(sa.select(sa.func.count()).where(*meanwhile)).scalar_one())
        started.process.kill()
        broker.delete_telecine(own)
    return {
        "idle": statistics.median(idle[1:]),  # the first one waits for the start
        "door": same_queue.received_at - received,
        "ledger": max(0.0, *(job.finished_at - max(job.received_at, begun or 0.0) for job in (same_queue, own_queue))),
        "jobs_before": max(before),
    }


def celery(broker: Broker, count: int) -> dict[str, float]:
    """Return the same for a bare Celery: its queue is one line."""
    rival = next(each for each in rivals() if each.prefetch == 1 and each.name.startswith("Celery"))
    with tempfile.TemporaryDirectory(prefix="telecine-bench-") as folder:
        counted = Path(folder) / "counted"
        own = {"TELECINE_BENCH_BROKER": broker.url, "TELECINE_BENCH_PREFETCH": "1", VARIABLE: str(counted)}
        os.environ.update(own)  # for what publishes here, too

        def worker() -> Any:
            return spawn(
                [sys.executable, "-m", *rival.command], Path(folder) / "log", environment=os.environ, folder=ROOT
            )

        def wait_for(count: int) -> None:
            wait_until(lambda: counted.exists() and counted.stat().st_size >= count, timeout=600)

        broker.delete(rival.queues)
        process = worker()
        try:
            idle = []
            for number in range(6):
                published = time.time()
                _publish_celery(1)
                wait_for(number + 1)
                idle.append(time.time() - published)
            end(process, signal.SIGKILL)
            _publish_celery(count + 1)
            process = worker()
            wait_for(7)
            first = time.time()
            wait_for(6 + count + 1)
            return {"idle": statistics.median(idle[1:]), "door": 0.0, "ledger": time.time() - first}
        finally:
            end(process, signal.SIGKILL)
            broker.delete(rival.queues)


def _publish_celery(count: int) -> None:
    from tests.bench.noop.celery_app import app, noop

    with app.connection_for_write() as connection, connection.channel() as channel:
        for queue in app.amqp.queues.values():
            queue(channel).declare()
        producer = app.amqp.Producer(channel)
        for number in range(count):
            noop.apply_async((request(number),), producer=producer)


def _ended(database: Database, number: int) -> Any:
    job_id = str(request(number)["id"])

    def ended() -> Any:
        job = find_job(database, job_id)
        return job if job is not None and job.state is State.COMPLETED else None

    return wait_until(ended, timeout=600)


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure everything and return the figures."""
    with servers(given.broker) as (broker, postgres):
        taken = {}
        for tenants in (1, 1000):
            with tempfile.TemporaryDirectory(prefix="telecine-bench-") as folder:
                urls = {"SQLite": f"sqlite:///{folder}/ledger.sqlite3", "PostgreSQL": postgres.create_database()}
                for name in given.ledgers:
                    url = urls[name]
                    found = claims(url, given.waiting, tenants, given.samples)
                    taken[f"{name}, {tenants:,} tenant{'s' * (tenants > 1)}"] = found
        waits = {"Celery": celery(broker, given.flood)}
        for line in lines(postgres):
            if line.name in given.ledgers:
                waits[f"Telecine, {line.name}"] = telecine(broker, line, given.flood)
                print(f"  {waits}", file=sys.stderr, flush=True)
    sizes = {"waiting": given.waiting, "flood": given.flood, "cores": os.cpu_count(), "load_at_end": os.getloadavg()[0]}
    return {**sizes, "claims": taken, "waits": waits}


def markdown(figures: dict[str, Any]) -> str:
    """Return both tables as Markdown."""
    rows = ["| ledger | one job, ms | fifty, ms |", "|---|---:|---:|"]
    rows += [
        f"| {name} | {found['one_ms']:.1f} | {found['group_ms']:.1f} |" for name, found in figures["claims"].items()
    ]
    rows += ["", "| way | idle, s | into the ledger, s | from there to its end, s | jobs begun before it |"]
    rows.append("|---|---:|---:|---:|---:|")
    for name, found in figures["waits"].items():
        door = f"{found['door']:.2f}" if found["door"] else "–"
        before = found.get("jobs_before", figures["flood"])
        rows.append(f"| {name} | {found['idle']:.2f} | {door} | {found['ledger']:.2f} | {before:,} |")
    return "\n".join(rows)


def main() -> None:
    """Measure, print the tables and write what was asked for."""
    options = argparse.ArgumentParser(prog="python -m tests.bench.turns", description=__doc__)
    options.add_argument("--waiting", type=int, default=100_000, help="jobs that wait, and as many of each other kind")
    options.add_argument("--samples", type=int, default=200, help="claims that are timed")
    options.add_argument("--flood", type=int, default=50_000, help="jobs of the flood")
    options.add_argument("--ledgers", nargs="+", default=["SQLite", "PostgreSQL"])
    options.add_argument("--broker", help="URL of a RabbitMQ; a private one otherwise")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    figures = measure(given)
    print(markdown(figures))
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
