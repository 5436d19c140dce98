"""Messages that RabbitMQ dead-lettered at the delivery limit, because workers died before they admitted them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import amqp
import pytest
from kombu import Connection

from consumer.doors.amqp import declare
from consumer.wakeups.queues import dead_queue
from tests.cli_operator import Operator, an_operator
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import wait_until

_operator = pytest.fixture(an_operator, name="operator")
LIMIT = 1
BODY = b'{"id": "order-1",  "type": "note"}'


@contextmanager
def opened(broker: RabbitMQ, queue: str) -> Iterator[Any]:
    with Connection(broker.url) as connection:
        channel = connection.channel()
        channel.auto_decode = False  # type: ignore[attr-defined]
        declare(channel, [queue], delivery_limit=LIMIT)
        yield channel


def depth(broker: RabbitMQ, queue: str) -> int:
    with Connection(broker.url) as connection:
        channel: Any = connection.channel()
        return int(channel.queue_declare(queue, passive=True).message_count)


def reach_delivery_limit(broker: RabbitMQ, queue: str, *messages: amqp.Message) -> None:
    """Publish messages and drop the connection after each delivery, until RabbitMQ dead-letters them."""
    with opened(broker, queue) as channel:
        for message in messages:
            channel.basic_publish(message, "", queue)
    for _ in range(LIMIT + 1):
        wait_until(lambda: depth(broker, queue) == len(messages))
        with opened(broker, queue) as channel:
            assert all(channel.basic_get(queue) is not None for _ in messages)
    wait_until(lambda: depth(broker, dead_queue(queue)) == len(messages))


@pytest.fixture
def queue(rabbitmq: RabbitMQ, queue_prefix: str, operator: Operator, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TELECINE_BROKER_URL", rabbitmq.url)
    monkeypatch.setenv("TELECINE_AMQP_QUEUES", f"{queue_prefix}requests")
    monkeypatch.setenv("TELECINE_AMQP_DELIVERY_LIMIT", str(LIMIT))
    return f"{queue_prefix}requests"


def test_messages_at_the_delivery_limit_are_returned_unchanged_and_refused_copies_stay(
    rabbitmq: RabbitMQ, queue: str, operator: Operator
) -> None:
    sent = amqp.Message(
        BODY,
        content_type="application/json",
        delivery_mode=2,
        message_id="m-1",
        application_headers={"x-origin": "shop"},
    )
    reach_delivery_limit(rabbitmq, queue, sent)
    with opened(rabbitmq, queue) as channel:
        channel.basic_publish(amqp.Message(b"refused"), "", queue)
    wait_until(lambda: depth(rabbitmq, queue) == 1)
    with opened(rabbitmq, queue) as channel:
        channel.basic_reject(channel.basic_get(queue).delivery_tag, requeue=False)
    wait_until(lambda: depth(rabbitmq, dead_queue(queue)) == 2)

    assert operator.run("dead-letters", "recover", "--json").json == [{"queue": queue, "returned": 1, "kept": 1}]

    wait_until(lambda: (depth(rabbitmq, queue), depth(rabbitmq, dead_queue(queue))) == (1, 1))
    with opened(rabbitmq, queue) as channel:
        back = channel.basic_get(queue, no_ack=True)
    assert bytes(back.body) == BODY
    assert (back.content_type, back.delivery_mode, back.message_id) == ("application/json", 2, "m-1")
    assert back.headers == {"x-origin": "shop", "x-delivery-count": 0}
    # A second recovery finds no messages.
    assert operator.run("dead-letters", "recover", "--json").json == [{"queue": queue, "returned": 0, "kept": 1}]


def test_doctor_shows_how_to_recover_messages_at_the_delivery_limit(
    rabbitmq: RabbitMQ, queue: str, operator: Operator
) -> None:
    reach_delivery_limit(rabbitmq, queue, amqp.Message(BODY), amqp.Message(BODY))
    found = {item["check"]: item for item in operator.run("doctor", "--json").json["checks"]}
    assert "2 messages in dead-letter queues" in json.dumps(found["queues"])
    assert "telecine dead-letters recover" in found["queues"]["advice"]


def test_without_a_broker_there_is_nothing_to_recover(operator: Operator) -> None:
    done = operator.run("dead-letters", "recover")
    assert done.status == 1
    assert "TELECINE_BROKER_URL" in done.err
