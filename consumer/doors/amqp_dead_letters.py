"""Recovery of messages that RabbitMQ dead-lettered at the delivery limit. The ledger does not know them.

A worker that crashes repeatedly before it can admit anything uses up the delivery limit of its messages. RabbitMQ moves
them to the dead-letter queue, which also has the copies of the ledger's dead letters. They differ by a header.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kombu import Connection

from consumer.doors.amqp import declare
from consumer.wakeups import lenient_amqp
from consumer.wakeups.queues import dead_queue

_REASON = "x-first-death-reason"
_DELIVERY_LIMIT = "delivery_limit"
#: Headers that RabbitMQ adds when it dead-letters a message.
_ADDED = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count")


@dataclass(frozen=True, slots=True)
class Recovered:
    """The result for one dead-letter queue."""

    queue: str
    #: Messages that were returned to the request queue.
    returned: int
    #: Copies of the ledger's dead letters, which stay in the queue.
    kept: int


def recover(url: str, queue: str, *, delivery_limit: int) -> Recovered:
    """Return messages that reached the delivery limit to ``queue``, unchanged, with a new delivery count.

    Each is confirmed there before it is removed from the dead-letter queue. A crash in between leaves a second copy,
    which the ledger absorbs as a duplicate.

    Raises:
        kombu.exceptions.OperationalError: The broker is unreachable.
    """
    lenient_amqp.install()
    dead = dead_queue(queue)
    returned = kept = 0
    with Connection(url, transport_options={"confirm_publish": True}, connect_timeout=5) as connection:
        channel: Any = connection.channel()
        channel.auto_decode = False  # unchanged bytes
        declare(channel, [queue], delivery_limit=delivery_limit)
        for _ in range(channel.queue_declare(dead, passive=True).message_count):
            message = channel.basic_get(dead)
            if message is None:
                break
            if message.properties.get("application_headers", {}).get(_REASON) != _DELIVERY_LIMIT:
                kept += 1  # unacknowledged: it returns to the queue when the connection closes
                continue
            channel.basic_publish(_original(message), exchange="", routing_key=queue)
            channel.basic_ack(message.delivery_tag)
            returned += 1
    return Recovered(queue, returned, kept)


def _original(message: Any) -> Any:
    """Return the message without the headers that RabbitMQ added."""
    headers = message.properties["application_headers"]
    kept = {name: value for name, value in headers.items() if not name.startswith(_ADDED)}
    return type(message)(message.body, **{**message.properties, "application_headers": kept})
