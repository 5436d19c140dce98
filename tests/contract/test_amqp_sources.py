"""The source and the headers of a message from RabbitMQ."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import amqp
import pytest
from kombu import Connection

from consumer.admission.message import AdmitResult, IncomingMessage
from consumer.doors.amqp import AmqpDoor, declare
from schemas.envelope import Request
from schemas.parse import parse_request
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import wait_until

DATA = {"image": "s3://inbox/c.jpg", "audio": "s3://inbox/s.mp3", "lyrics": "La", "alignment_mode": "even"}


@dataclass(frozen=True)
class Place:
    """Two queues, a door that reads them, and the messages it received."""

    channel: Any
    queues: Sequence[str]
    arrivals: list[IncomingMessage]

    def publish(self, body: bytes, routing_key: str, exchange: str = "", **properties: object) -> None:
        self.channel.basic_publish(amqp.Message(body, **properties), exchange, routing_key)

    def take(self, count: int) -> list[IncomingMessage]:
        wait_until(lambda: len(self.arrivals) >= count)
        taken = list(self.arrivals)
        self.arrivals.clear()
        return taken


@pytest.fixture
def place(rabbitmq: RabbitMQ, queue_prefix: str) -> Iterator[Place]:
    queues = [f"{queue_prefix}urgent", f"{queue_prefix}acme"]
    arrivals: list[IncomingMessage] = []

    def admit(batch: Sequence[IncomingMessage]) -> Sequence[AdmitResult]:
        arrivals.extend(batch)
        return [AdmitResult() for _ in batch]

    door = AmqpDoor(rabbitmq.url, queues, admit, lambda _: True, batch=50, batch_seconds=0.01, delivery_limit=3)
    thread = threading.Thread(target=door.run, daemon=True)
    with Connection(rabbitmq.url) as connection:
        channel = connection.channel()
        declare(channel, queues, delivery_limit=3)
        thread.start()
        yield Place(channel, queues, arrivals)
        door.stop()
        thread.join(30)
    assert not thread.is_alive()


def test_the_source_is_the_queue_for_any_exchange_and_routing_key(place: Place, queue_prefix: str) -> None:
    urgent, acme = place.queues
    exchange = f"{queue_prefix}orders"
    place.channel.exchange_declare(exchange, "topic")
    place.channel.queue_bind(urgent, exchange, "order.*.created")
    place.publish(b"1", urgent)
    place.publish(b"2", acme)
    # A producer may choose any routing key, even the name of another tenant's queue.
    place.channel.queue_bind(urgent, exchange, acme)
    place.publish(b"3", "order.7.created", exchange)
    place.publish(b"4", acme, exchange)
    found = {arrival.body: arrival for arrival in place.take(4)}
    assert {body: arrival.source for body, arrival in found.items()} == {
        b"1": urgent,
        b"2": acme,
        b"3": urgent,
        b"4": urgent,
    }
    keys = {body: arrival.headers.get("amqp-routing-key") for body, arrival in found.items()}
    assert keys == {b"1": None, b"2": None, b"3": "order.7.created", b"4": acme}


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_"])
def test_a_binary_event_keeps_the_amqp_types_of_its_attributes(place: Place, prefix: str) -> None:
    attributes = {
        "specversion": "1.0",
        "source": "/shop",
        "id": "order-1",
        "type": "reel",
        "planonly": True,
        "deadline": 90,
        "time": dt.datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001 - AMQP timestamps have no zone
        "priority": "high",
        "callback": "https://shop.example/h",
    }
    headers = {prefix + name: value for name, value in attributes.items()}
    place.publish(
        json.dumps(DATA).encode(), place.queues[0], application_headers=headers, content_type="application/json"
    )
    (arrival,) = place.take(1)
    request = parse_request(arrival.body, arrival.headers)
    assert isinstance(request, Request)
    assert (request.id, request.plan_only, request.deadline, request.priority) == ("order-1", True, 90.0, "high")
    assert request.time == dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    assert request.datacontenttype == "application/json"


def test_the_content_type_of_the_message_decides_how_an_event_is_read(place: Place) -> None:
    place.publish(b"{}", place.queues[0], content_type="application/cloudevents-batch+json")
    place.publish(b"{}", place.queues[0])
    batch, plain = place.take(2)
    assert batch.headers["content-type"] == "application/cloudevents-batch+json"
    assert "content-type" not in plain.headers


def test_one_acknowledgement_for_both_queues_covers_all_messages(place: Place, rabbitmq: RabbitMQ) -> None:
    for number in range(60):
        place.publish(b"%d" % number, place.queues[number % 2])
    assert len(place.take(60)) == 60
    wait_until(
        lambda: all(
            f"0\t{queue}" in rabbitmq.ctl("list_queues", "messages", "name").splitlines() for queue in place.queues
        ),
    )
