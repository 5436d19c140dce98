"""The benchmarks' side of the broker: declare, fill and delete queues."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pika
from pika.exceptions import ChannelClosedByBroker

from consumer.wakeups.queues import EXCHANGE, dead_queue, wake_queues


def request(number: int, **more: object) -> dict[str, object]:
    """Return a request for a job that does nothing; about 140 bytes as JSON."""
    data = {"text": "x" * 60}
    return {"id": f"bench-{number:08}", "type": "noop", "data": data, "metadata": {"number": number}, **more}


class Broker:
    """A RabbitMQ at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url

    @contextlib.contextmanager
    def channel(self) -> Iterator[Any]:
        """Yield a channel on a connection of its own."""
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        try:
            yield connection.channel()
        finally:
            connection.close()

    def declare(self, queue: str, arguments: Mapping[str, object] | None = None) -> None:
        """Declare a quorum queue."""
        with self.channel() as channel:
            channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum", **(arguments or {})})

    def declare_wake_queues(self) -> None:
        """Declare Telecine's wake-up queues as its worker does."""
        with self.channel() as channel:
            channel.exchange_declare(EXCHANGE, "topic", durable=True)
            for name in wake_queues():
                arguments = {"x-queue-type": "quorum", "x-delivery-limit": 10}
                channel.queue_declare(name, durable=True, arguments=arguments)
                channel.queue_bind(name, EXCHANGE, name)

    def fill(self, queue: str, messages: int) -> None:
        """Publish that many requests as persistent plain JSON; return when all are in the queue."""
        with self.channel() as channel:
            for number in range(messages):
                publish(channel, queue, request(number))
            self.wait_for(queue, messages)

    def wait_for(self, queue: str, messages: int) -> None:
        """Wait until the queue holds so many messages."""
        end = time.monotonic() + 120
        with self.channel() as channel:
            while (there := channel.queue_declare(queue, passive=True).method.message_count) != messages:
                if time.monotonic() > end:
                    raise RuntimeError(f"{queue} holds {there} of {messages} messages")
                time.sleep(0.05)

    def delete(self, queues: Sequence[str]) -> None:
        """Delete the queues and their messages."""
        for name in queues:
            with self.channel() as channel, contextlib.suppress(ChannelClosedByBroker):
                channel.queue_delete(name)

    def delete_telecine(self, queue: str) -> None:
        """Delete Telecine's queues, so that a round begins without the last one's wake-ups."""
        self.delete([*wake_queues(), queue, dead_queue(queue)])


def publish(channel: Any, queue: str, body: Mapping[str, object]) -> None:
    """Publish one request as plain JSON, as any producer would."""
    properties = pika.BasicProperties(content_type="application/json", delivery_mode=2)
    channel.basic_publish("", queue, json.dumps(body).encode(), properties)
