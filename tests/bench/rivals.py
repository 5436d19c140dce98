"""Other ways to take the same messages from the same broker, each measured on a full queue."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.noop.counter import VARIABLE, rate_of
from tests.bench.queues import Broker, request
from tests.servers.process import end, spawn
from tests.telecine_process import ROOT


@dataclass(frozen=True, slots=True)
class Rival:
    """How to fill its queue and start its workers. Faster ones get more messages, to be measured as long."""

    name: str
    queues: Sequence[str]
    command: Sequence[str]
    fill: Callable[[Broker, int], None]
    times: int = 1
    prefetch: int = 1

    def rate(self, broker: Broker, count: int) -> float:
        """Return messages per second.

        Raises:
            RuntimeError: its workers died, or did not finish in two minutes.
        """
        messages = count * self.times
        with tempfile.TemporaryDirectory(prefix="telecine-bench-") as folder:
            counted, log = Path(folder) / "counted", Path(folder) / "log"
            environment = {
                **os.environ,
                "TELECINE_BENCH_BROKER": broker.url,
                "TELECINE_BENCH_PREFETCH": str(self.prefetch),
                VARIABLE: str(counted),
            }
            os.environ.update({name: environment[name] for name in ("TELECINE_BENCH_BROKER", VARIABLE)})
            broker.delete(self.queues)
            self.fill(broker, messages)
            process = spawn([sys.executable, "-m", *self.command], log, environment=environment, folder=ROOT)
            try:
                return rate_of(counted, messages, alive=lambda: process.poll() is None, timeout_seconds=120)
            except RuntimeError as error:
                raise RuntimeError(f"{self.name}: {error}\n{log.read_text(errors='replace')[-2000:]}") from None
            finally:
                end(process, signal.SIGKILL)
                broker.delete(self.queues)


def rivals() -> list[Rival]:
    """Return the rivals, slowest first."""
    options = ["-P", "prefork", "-c", "2", "-l", "ERROR", "--without-gossip", "--without-mingle"]
    celery = ("celery", "-A", "tests.bench.noop.celery_app", "worker", *options)
    dramatiq = ("dramatiq", "tests.bench.noop.dramatiq_actor", "--processes", "2")
    dramatiq_queues = ("bench_dramatiq", "bench_dramatiq.DQ", "bench_dramatiq.XQ")
    return [
        Rival("Celery, prefork 2, prefetch 1", ("bench.celery",), celery, _fill_celery, times=2, prefetch=1),
        Rival("Celery, prefork 2, prefetch 4 (default)", ("bench.celery",), celery, _fill_celery, times=2, prefetch=4),
        Rival("dramatiq, 2 processes", dramatiq_queues, dramatiq, _fill_dramatiq, times=8),
        Rival("pika, prefetch 100", ("bench.pika",), ("tests.bench.noop.pika_consumer",), _fill_pika, times=8),
    ]


def _fill_celery(broker: Broker, messages: int) -> None:
    from tests.bench.noop.celery_app import QUEUE, app, noop

    with app.connection_for_write() as connection, connection.channel() as channel:
        for queue in app.amqp.queues.values():
            queue(channel).declare()
        producer = app.amqp.Producer(channel)
        for number in range(messages):
            noop.apply_async((request(number),), producer=producer)
        broker.wait_for(QUEUE, messages)


def _fill_dramatiq(broker: Broker, messages: int) -> None:
    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    from tests.bench.noop.dramatiq_actor import QUEUE, noop

    # Another one each round: it declares a queue once in its life, and the queues are deleted between the rounds.
    sender = RabbitmqBroker(url=broker.url)
    sender.declare_queue(QUEUE)
    for number in range(messages):
        sender.enqueue(noop.message(request(number)))
    sender.close()
    broker.wait_for(QUEUE, messages)


def _fill_pika(broker: Broker, messages: int) -> None:
    from tests.bench.noop.pika_consumer import QUEUE

    broker.declare(QUEUE)
    broker.fill(QUEUE, messages)
