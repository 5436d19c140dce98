"""Publishing requests with confirmation, for ``telecine submit`` and the HTTP edge."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

from kombu import Connection

from consumer.doors.amqp import declare
from consumer.doors.sqs.client import SqsClient, SqsOptions


def publish(url: str, queue: str, bodies: Sequence[bytes], *, delivery_limit: int) -> int:
    """Publish each body unchanged as a persistent message, and return when the broker has confirmed all of them.

    Return the number of doors that read the queue.

    Raises:
        kombu.exceptions.OperationalError: The broker is unreachable. Each body may or may not have been published.
    """
    with Connection(url, transport_options={"confirm_publish": True}, connect_timeout=5) as connection:
        channel: Any = connection.channel()
        declare(channel, [queue], delivery_limit=delivery_limit)
        producer = connection.Producer(channel, serializer=None)
        for body in bodies:
            producer.publish(
                body,
                routing_key=queue,
                exchange="",
                content_type="application/json",
                content_encoding="binary",
                delivery_mode=2,
                mandatory=True,
            )
        return int(channel.queue_declare(queue, passive=True).consumer_count)


def publish_to_sqs(options: SqsOptions, queue: str, bodies: Sequence[bytes]) -> None:
    """Send each body unchanged to the SQS queue with this name or URL.

    Raises:
        Exception: boto3's error. Each body may or may not have been sent.
    """
    client = _sqs_client(options)
    try:
        destination = client.find_queue(queue)
        for body in bodies:
            client.send(destination, body.decode(), key=hashlib.sha256(body).hexdigest())
    except Exception:
        client.reset()
        raise


@functools.cache
def _sqs_client(options: SqsOptions) -> SqsClient:
    """Return the client for these options: making one takes boto3 50 ms."""
    return SqsClient(options)
