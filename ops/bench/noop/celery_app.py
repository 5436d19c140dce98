"""A bare Celery task as a careful team sets it up: quorum queue, late acknowledgement, no results."""

from __future__ import annotations

import os
from collections.abc import Callable

from celery import Celery
from kombu import Exchange, Queue

from ops.bench.noop.counter import counter

QUEUE = "bench.celery"

app = Celery("bench", broker=os.environ["TELECINE_BENCH_BROKER"])
app.conf.update(
    task_queues=[
        Queue(QUEUE, Exchange("bench", type="topic"), routing_key=QUEUE, queue_arguments={"x-queue-type": "quorum"})
    ],
    task_default_queue=QUEUE,
    task_default_exchange="bench",
    task_default_exchange_type="topic",
    task_default_routing_key=QUEUE,
    task_default_queue_type="quorum",
    task_acks_late=True,
    task_ignore_result=True,
    task_serializer="json",
    worker_prefetch_multiplier=int(os.environ.get("TELECINE_BENCH_PREFETCH", "1")),
    # No job here has an eta; without this the worker would declare 28 more queues first.
    worker_consumer="consumer.wakeups.celery_consumer:WakeUpConsumer",
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)

_count: Callable[[], None] | None = None


@app.task(name="bench.noop")
def noop(message: dict[str, object]) -> None:
    """Counts."""
    global _count
    if _count is None:
        _count = counter()
    _count()
