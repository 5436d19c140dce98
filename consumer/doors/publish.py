"""Sending requests, confirmed: what ``telecine submit`` does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from kombu import Connection

from consumer.doors.amqp import declare
from consumer.doors.sqs.client import SqsClient, SqsOptions


def publish(url: str, queue: str, bodies: Sequence[bytes], *, delivery_limit: int) -> None:
    """Puts each body on the queue, raw and persistent; returns when the broker has confirmed them all.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached; any body may or may not be there.
    """
    with Connection(url, transport_options={"confirm_publish": True}, connect_timeout=5) as connection:
        channel = connection.channel()
        declare(channel, [queue], delivery_limit=delivery_limit)
        producer = connection.Producer(channel, serializer=None)
        for body in bodies:
            producer.publish(
                body, routing_key=queue, exchange="", content_type="application/json", content_encoding="binary",
                delivery_mode=2, mandatory=True,
            )  # fmt: skip


def publish_to_sqs(options: SqsOptions, queue: str, bodies: Sequence[bytes]) -> None:
    """Puts each body on the SQS queue with this name or URL, as it is.

    Raises:
        Exception: what boto3 raises; any body may or may not be there.
    """
    calls = SqsClient(options)
    to = calls.locate(queue)
    for body in bodies:
        calls.send(to, body.decode(), key=hashlib.sha256(body).hexdigest())
