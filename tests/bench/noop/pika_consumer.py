"""The floor in Python: pika's blocking connection, a hundred prefetched, each acknowledged after its work."""

from __future__ import annotations

import json
import os
from typing import Any

import pika

from tests.bench.noop.counter import counter

QUEUE = "bench.pika"


def main() -> None:
    """Consume until killed."""
    count = counter()

    def take(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        json.loads(body)
        count()
        channel.basic_ack(method.delivery_tag)

    connection = pika.BlockingConnection(pika.URLParameters(os.environ["TELECINE_BENCH_BROKER"]))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=100)
    channel.basic_consume(QUEUE, take)
    channel.start_consuming()


if __name__ == "__main__":
    main()
