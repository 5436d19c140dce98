"""What limits growth: ``python -m tests.bench.growth``. Prints Markdown and, with ``--plot``, draws an SVG.

With RabbitMQ and PostgreSQL on this machine: jobs a second against the number of worker and of front processes, what
each process takes (connections, memory), the ledger's size per job, and the time of a claim, an admission and a look
for due jobs with many finished jobs in the ledger. Jobs that do nothing are counted: this is what Telecine itself
takes. Servers, producer and Telecine share the machine's cores, and so the curves bend where those are used up.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa
from kombu import Connection
from sqlalchemy.engine import make_url

import tests.note_pipeline  # noqa: F401 - registers the job type
from consumer.doors.amqp import declare
from consumer.ledger import leases
from consumer.ledger.admission import admit, build_submission
from consumer.ledger.database import Database
from consumer.ledger.due import take_due
from consumer.ledger.schema import migrate
from consumer.ledger.tables import jobs
from schemas.envelope import Request
from schemas.parse import parse_request
from tests.bench.dashboard import fill
from tests.bench.growth_report import markdown, panels
from tests.bench.lines import SECRET, defaults
from tests.bench.messages import servers
from tests.bench.plot import draw
from tests.bench.queues import Broker, publish, request
from tests.receiver import Receiver
from tests.servers.postgres import Postgres
from tests.telecine_process import TelecineProcess, wait_until

FRONT = ("up", "--only", "doors,sweep,calls,outbox")
WORKER = ("worker", "--concurrency", "1")


class Machines:
    """Front and worker processes on one queue and one empty ledger."""

    def __init__(self, broker: Broker, ledger_url: str, folder: Path) -> None:
        self.queue = f"bench.requests.{uuid.uuid4().hex[:8]}"
        self.database = Database(ledger_url)
        migrate(self.database)
        self._settings: dict[str, object] = {
            **defaults(),
            "broker_url": broker.url,
            "amqp_queues": self.queue,
            "storage": "folder",
            "storage_folder": folder / "storage",
            "ledger_url": ledger_url,
            "callback_secrets": json.dumps({"default": [SECRET]}),
        }
        self._folder = folder
        self.started: list[TelecineProcess] = []

    def start(self, *arguments: str) -> TelecineProcess:
        """Start one more process."""
        process = TelecineProcess(self._folder / str(len(self.started)), notes=True, **self._settings)
        self.started.append(process.start(arguments=arguments))
        return process

    def completed(self, count: int) -> bool:
        """Return whether so many jobs have completed and their callbacks were delivered."""
        with self.database.read() as connection:
            query = "SELECT (SELECT count(*) FROM jobs WHERE state = 'completed')"
            owed = "(SELECT count(*) FROM deliveries WHERE state <> 'delivered')"
            return bool(connection.execute(sa.text(f"{query} - {owed}")).scalar_one() >= count)

    def rate(self, count: int) -> float:
        """Return jobs a second between the first tenth and the last."""
        wait_until(lambda: self.completed(count), timeout=600, what=self._log)
        with self.database.read() as connection:
            ends: list[float] = sorted(connection.execute(sa.select(jobs.c.finished_at)).scalars())
        first = count // 10
        return (count - first) / (ends[-1] - ends[first - 1])

    def _log(self) -> str:
        return "\n".join(each.log.read_text(errors="replace")[-1000:] for each in self.started)


@contextlib.contextmanager
def machines(broker: Broker, postgres: Postgres) -> Iterator[Machines]:
    """Yield machines with a queue of their own and nothing started."""
    with tempfile.TemporaryDirectory(prefix="telecine-bench-") as folder:
        found = Machines(broker, postgres.create_database(), Path(folder))
        broker.delete_telecine(found.queue)
        broker.declare_wake_queues()
        with Connection(broker.url) as connection:
            declare(connection.channel(), [found.queue], delivery_limit=20)
        try:
            yield found
        finally:
            for process in found.started:
                process.kill()
            found.database.close()
            broker.delete_telecine(found.queue)


def jobs_a_second(broker: Broker, postgres: Postgres, fronts: int, workers: int, count: int) -> float:
    """Return how many jobs so many processes complete, from a full queue."""
    with machines(broker, postgres) as fleet:
        broker.fill(fleet.queue, count)
        for _ in range(workers):
            fleet.start(*WORKER)
        for _ in range(fronts):
            fleet.start(*FRONT)
        return fleet.rate(count)


def admitted_a_second(broker: Broker, postgres: Postgres, fronts: int, count: int) -> float:
    """Return how many requests so many front processes admit, from a full queue and without workers."""
    with machines(broker, postgres) as fleet:
        broker.fill(fleet.queue, count)
        for _ in range(fronts):
            fleet.start(*FRONT)
        query = sa.select(sa.func.count(), sa.func.min(jobs.c.received_at), sa.func.max(jobs.c.received_at))

        def admitted() -> Any:
            with fleet.database.read() as connection:
                row = connection.execute(query).one()
            return row if row[0] >= count else None

        there, first, last = wait_until(admitted, timeout=300, what=fleet._log)
        return float(there / max(last - first, 0.001))


def per_process(broker: Broker, postgres: Postgres, count: int) -> dict[str, Any]:
    """Return connections and memory of each kind of process under load, and the ledger's size per job."""
    with Receiver() as receiver, machines(broker, postgres) as fleet:
        empty = _size(fleet.database)
        with broker.channel() as channel:
            for number in range(count):
                publish(channel, fleet.queue, request(number, callback={"url": receiver.url}))
        parts = {"front": fleet.start(*FRONT), "worker, 2 jobs at once": fleet.start("worker", "--concurrency", "2")}
        ports = {"postgresql": postgres.port, "rabbitmq": make_url(broker.url).port or 5672}
        most: dict[str, dict[str, int]] = {name: {} for name in parts}

        def done() -> bool:
            for name, process in parts.items():
                for what, found in _taken(process.pid, ports).items():
                    most[name][what] = max(most[name].get(what, 0), found)
            return fleet.completed(count)

        wait_until(done, timeout=600)
        with fleet.database.write() as connection:
            connection.execute(sa.text("ANALYZE"))
        return {"processes": most, "ledger_bytes_a_job": round((_size(fleet.database) - empty) / count)}


def _taken(pid: int, ports: dict[str, int]) -> dict[str, int]:
    """Return the connections by server, and the memory, of a process and its children."""
    found = dict.fromkeys((*ports, "megabytes"), 0)
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            open_to = [each.raddr.port for each in process.net_connections() if each.status == psutil.CONN_ESTABLISHED]
            for name, port in ports.items():
                found[name] += open_to.count(port)
            # Not the resident size: forked processes share most of it.
            found["megabytes"] += process.memory_full_info().pss // 2**20
    return found


def _size(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one())


def with_finished(postgres: Postgres, rows: int, samples: int) -> dict[str, float]:
    """Return the milliseconds of what every job passes through, with so many finished jobs in the ledger."""
    database = Database(postgres.create_database())
    try:
        migrate(database)
        fill(database, rows)
        size = _size(database)
        admissions, looks, claims = [], [], []
        for first in range(0, samples, 100):
            batch = [_submission(number) for number in range(first, first + 100)]
            admissions.append(_timed(lambda batch=batch: _admit(database, batch)) / len(batch))
            looks.append(_timed(lambda: take_due(database, limit=500, again_seconds=0.001)))
            claims += [_timed(lambda id_=each.request.id: _claim(database, id_)) for each in batch]
        return {
            "gigabytes": round(size / 1e9, 2),
            "admission_ms": round(statistics.median(admissions), 3),
            "due_ms": round(statistics.median(looks), 2),
            "claim_ms": round(statistics.median(claims), 2),
            "claim_p99_ms": round(sorted(claims)[int(len(claims) * 0.99) - 1], 2),
        }
    finally:
        database.close()


def _submission(number: int) -> Any:
    parsed = parse_request(json.dumps(request(number)).encode())
    assert isinstance(parsed, Request)
    return build_submission(parsed, role="io", door="amqp")


def _admit(database: Database, batch: list[Any]) -> None:
    with database.write(durable=True) as connection:
        admit(database, connection, batch)


def _claim(database: Database, job_id: str) -> None:
    assert leases.claim(database, job_id, owner="bench", seconds=60) is not None


def _timed(act: Any) -> float:
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1000


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure everything and return the figures."""
    numbers: list[int] = given.processes
    combinations = sorted({(1, n) for n in numbers} | {(n, given.workers) for n in numbers})
    rates: dict[tuple[int, int], list[float]] = {each: [] for each in combinations}
    admitted: dict[int, list[float]] = {n: [] for n in numbers}
    with servers(given.broker) as (broker, postgres):
        for _ in range(given.rounds):  # in turn, so that other load on the machine affects all of them alike
            for fronts, workers in combinations:
                rates[fronts, workers].append(jobs_a_second(broker, postgres, fronts, workers, given.count))
            for fronts in numbers:
                admitted[fronts].append(admitted_a_second(broker, postgres, fronts, given.count * 5))
        taken = per_process(broker, postgres, given.count)
        finished = {rows: with_finished(postgres, rows, given.samples) for rows in given.rows}
    return {
        "cores": os.cpu_count(),
        "workers": given.workers,
        "load_at_end": os.getloadavg()[0],
        "jobs_a_second": [
            {"fronts": fronts, "workers": workers, "median": round(statistics.median(each), 1)}
            for (fronts, workers), each in rates.items()
        ],
        "admitted_a_second": {n: round(statistics.median(each)) for n, each in admitted.items()},
        **taken,
        "finished": finished,
    }


def main() -> None:
    """Measure, print the tables and write what was asked for."""
    options = argparse.ArgumentParser(prog="python -m tests.bench.growth", description=__doc__)
    options.add_argument("--count", type=int, default=2000, help="jobs in each measurement")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--samples", type=int, default=1000, help="claims that are timed")
    options.add_argument("--processes", type=_numbers, default=[1, 2, 4])
    options.add_argument("--workers", type=int, default=2, help="worker processes next to several fronts")
    options.add_argument("--rows", type=_numbers, default=[10_000, 100_000, 1_000_000], help="finished jobs")
    options.add_argument("--broker", help="URL of a RabbitMQ; a private one otherwise")
    options.add_argument("--json", type=Path)
    options.add_argument("--plot", type=Path)
    given = options.parse_args()
    figures = measure(given)
    print(markdown(figures))
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    if given.plot is not None:
        given.plot.write_text(draw(panels(figures)))


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


if __name__ == "__main__":
    main()
