"""What Telecine adds between a publish and the receipt of its callback, on a quiet system with default settings."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from consumer.ledger.tables import jobs
from tests.bench.lines import Line, prepared, wait_for
from tests.bench.queues import Broker, publish, request
from tests.receiver import Receiver

#: The stretches of the way, in order: to the ledger, to a worker, through the worker, to the receiver.
STRETCHES = ("total", "door", "wake_up", "work", "callback")


def overhead(broker: Broker, line: Line, count: int, *, per_second: float = 20.0) -> dict[str, dict[str, float]]:
    """Return milliseconds by stretch, each with p50 and p99. The jobs do nothing, so all of it is Telecine's own.

    Requests come at random moments, as from independent producers: a fixed beat would fall on the
    same moments of every poll.
    """
    pace = random.Random(2026)
    sent: dict[str, float] = {}
    with Receiver() as receiver, prepared(broker, line) as started:
        started.process.start(arguments=("up", "--roles", "io"))
        callback = {"url": receiver.url}
        with broker.channel() as channel:
            publish(channel, started.queue, request(10_000_000, callback=callback))
            receiver.wait_for(1, timeout=60)
            for number in range(count):
                body = request(number, callback=callback)
                channel.connection.sleep(pace.expovariate(per_second))
                sent[str(body["id"])] = time.time()
                publish(channel, started.queue, body)
        attempts = receiver.wait_for(count + 1, timeout=60)
        wait_for(started, jobs.c.state == "completed", count + 1)
        columns = sa.select(jobs.c.id, jobs.c.received_at, jobs.c.started_at, jobs.c.finished_at)
        with started.database.read() as connection:
            ledger = {row.id: (row.received_at, row.started_at, row.finished_at) for row in connection.execute(columns)}
    arrived = {str(attempt.json()["data"]["id"]): attempt.at for attempt in attempts}
    ways = [_stretches(sent[name], ledger[name], arrived[name]) for name in sent]
    return {name: _quantiles([way[name] for way in ways]) for name in STRETCHES}


def _stretches(sent: float, ledger: Sequence[float], arrived: float) -> Mapping[str, float]:
    received, began, finished = ledger
    return {
        "total": arrived - sent,
        "door": received - sent,
        "wake_up": began - received,
        "work": finished - began,
        "callback": arrived - finished,
    }


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"p50_ms": cuts[49] * 1000, "p99_ms": cuts[98] * 1000}
