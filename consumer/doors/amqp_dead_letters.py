"""Messages that the broker itself gave up on: the ledger has never seen them.

RabbitMQ takes a message from its queue after the delivery limit, which a worker reaches that dies again and again
before it can admit anything. Such a message lies among the copies of refused ones, and only its header tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kombu import Connection

from consumer.doors.amqp import declare
from consumer.wakeups import lenient_amqp
from consumer.wakeups.queues import dead_queue

_REASON = "x-first-death-reason"
_GIVEN_UP = "delivery_limit"
#: What the broker adds when it moves a message.
_MARKS = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found in one dead-letter queue."""

    queue: str
    #: Messages on their way again.
    returned: int
    #: Copies of refused messages: the ledger has them, they stay.
    kept: int


def recover(url: str, queue: str, *, delivery_limit: int) -> Recovered:
    """Puts what the broker gave up on back into ``queue``, byte for byte, with a fresh count of deliveries.

    Each is confirmed there before it leaves the dead-letter queue: a crash in between makes a second copy, which the
    ledger absorbs.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached.
    """
    lenient_amqp.install()
    dead = dead_queue(queue)
    returned = kept = 0
    with Connection(url, transport_options={"confirm_publish": True}, connect_timeout=5) as connection:
        channel: Any = connection.channel()
        channel.auto_decode = False  # bytes as they came
        declare(channel, [queue], delivery_limit=delivery_limit)
        for _ in range(channel.queue_declare(dead, passive=True).message_count):
            message = channel.basic_get(dead)
            if message is None:
                break
            if message.properties.get("application_headers", {}).get(_REASON) != _GIVEN_UP:
                kept += 1  # not acknowledged: it is back when the connection closes
                continue
            channel.basic_publish(_unmarked(message), exchange="", routing_key=queue)
            channel.basic_ack(message.delivery_tag)
            returned += 1
    return Recovered(queue, returned, kept)


def _unmarked(message: Any) -> Any:
    """The message as its producer sent it."""
    headers = message.properties["application_headers"]
    ours = {name: value for name, value in headers.items() if not name.startswith(_MARKS)}
    return type(message)(message.body, **{**message.properties, "application_headers": ours})
