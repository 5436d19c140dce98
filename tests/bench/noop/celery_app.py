"""A bare Celery task as its documentation sets it up for quorum queues: late acknowledgement, no results."""

from __future__ import annotations

import os
from collections.abc import Callable

from celery import Celery
from kombu import Exchange, Queue

from tests.bench.noop.counter import counter

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
    # With quorum queues Celery also declares the queues of its native delayed delivery; their type must be named.
    broker_native_delayed_delivery_queue_type="quorum",
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)

_count: Callable[[], None] | None = None


@app.task(name="bench.noop")
def noop(message: dict[str, object]) -> None:
    """Count the message."""
    global _count
    if _count is None:
        _count = counter()
    _count()
