"""Telecine as the benchmarks run it: ``telecine up`` with a broker, folder storage and a user's default settings."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from kombu import Connection

from consumer.doors.amqp import declare
from consumer.ledger.database import Database
from consumer.ledger.tables import jobs
from schemas.settings import Settings
from tests.bench.queues import Broker
from tests.telecine_process import TelecineProcess

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#: The tests shorten these; the benchmarks use the defaults.
_DEFAULTS = (
    "lease_seconds",
    "sweep_seconds",
    "retry_seconds",
    "outbox_poll_seconds",
    "callback_timeout_seconds",
    "wake_again_seconds",
)


def defaults() -> dict[str, object]:
    """Return a user's defaults of what the tests shorten."""
    return {name: Settings.model_fields[name].default for name in _DEFAULTS}


@dataclass(frozen=True, slots=True)
class Line:
    """One way to set Telecine up."""

    name: str
    #: Creates an empty ledger and returns its URL; ``None``: SQLite in Telecine's home folder.
    new_ledger: Callable[[], str] | None


@dataclass(frozen=True, slots=True)
class Started:
    """A Telecine at work on a queue of its own."""

    process: TelecineProcess
    queue: str
    database: Database


@contextlib.contextmanager
def prepared(broker: Broker, line: Line, **settings: object) -> Iterator[Started]:
    """Yield Telecine with an empty ledger and its queue declared, not started."""
    queue = f"bench.requests.{uuid.uuid4().hex[:8]}"
    limit = Settings.model_fields["amqp_delivery_limit"].default
    with tempfile.TemporaryDirectory(prefix="telecine-bench-") as folder:
        chosen = defaults() | {
            "broker_url": broker.url,
            "amqp_queues": queue,
            "storage": "folder",
            "callback_secrets": json.dumps({"default": [SECRET]}),
        }
        if line.new_ledger is not None:
            chosen["ledger_url"] = line.new_ledger()
        broker.delete_telecine(queue)
        broker.declare_wake_queues()
        with Connection(broker.url) as connection:
            declare(connection.channel(), [queue], delivery_limit=limit)
        with TelecineProcess(Path(folder) / "home", notes=True, **(chosen | settings)) as process:
            database = process.database()
            try:
                yield Started(process, queue, database)
            finally:
                database.close()
        broker.delete_telecine(queue)


def wait_for(started: Started, rows: sa.ColumnElement[bool], count: int, *, timeout_seconds: float = 300) -> None:
    """Wait until ``count`` jobs satisfy ``rows``.

    Raises:
        RuntimeError: they do not within the time, or Telecine died.
    """
    query = sa.select(sa.func.count()).select_from(jobs).where(rows)
    end = time.monotonic() + timeout_seconds
    while True:
        with started.database.read() as connection:
            there = connection.execute(query).scalar_one()
        if there >= count:
            return
        if time.monotonic() > end or not started.process.running:
            log = started.process.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{there} of {count} jobs, then nothing\n{log}")
        time.sleep(0.1)


def throughput(broker: Broker, line: Line, count: int) -> float:
    """Return jobs per second from a full queue to ``finished``, between the first tenth and the last."""
    with prepared(broker, line) as started:
        broker.fill(started.queue, count)
        started.process.start(arguments=("up", "--roles", "io"))
        wait_for(started, jobs.c.state == "completed", count)
        with started.database.read() as connection:
            ends: list[float] = sorted(connection.execute(sa.select(jobs.c.finished_at)).scalars())
    first = count // 10
    return (count - first) / (ends[-1] - ends[first - 1])


def admission(broker: Broker, line: Line, count: int) -> float:
    """Return messages per second from a full queue into the ledger, acknowledged, wake-ups sent; no worker runs."""
    with prepared(broker, line) as started:
        broker.fill(started.queue, count)
        started.process.start(arguments=("up", "--only", "doors"))
        wait_for(started, jobs.c.state == "received", count)
        with started.database.read() as connection:
            times: list[float] = sorted(connection.execute(sa.select(jobs.c.received_at)).scalars())
    # Every job of a batch has the time at which its batch began: whole batches are counted.
    began, last = times[count // 10], times[-1]
    between = sum(1 for at in times if began <= at < last)
    return between / (last - began)
