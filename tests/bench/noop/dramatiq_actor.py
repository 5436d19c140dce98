"""A dramatiq actor with its defaults. Its queues are classic, because dramatiq declares them so."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from tests.bench.noop.counter import counter

QUEUE = "bench_dramatiq"

dramatiq.set_broker(RabbitmqBroker(url=os.environ["TELECINE_BENCH_BROKER"]))
_count = counter()


@dramatiq.actor(queue_name=QUEUE)  # type: ignore[untyped-decorator]
def noop(message: dict[str, object]) -> None:
    """Count the message."""
    _count()
