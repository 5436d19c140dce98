"""AMQP messages that py-amqp cannot read do not stop the door and do not affect other messages."""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from consumer.doors.amqp_dead_letters import recover
from consumer.ledger import dead_letters
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import TelecineProcess, wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_CONTENT_TYPE, _HEADERS = 0x8000, 0x2000


def raw(flag: int, value: bytes) -> pika.BasicProperties:
    """Return properties with given bytes, as any client may send them."""
    properties = pika.BasicProperties()
    properties.encode = lambda: [struct.pack(">H", flag) + value]
    return properties


def table(item: bytes) -> bytes:
    """Encode a header table with one header, ``when``."""
    entry = b"\x04when" + item
    return struct.pack(">I", len(entry)) + entry


def nested(depth: int) -> bytes:
    """Encode nested tables."""
    item = b"V"
    for _ in range(depth):
        item = b"F" + table(item)
    return item


UNREADABLE = {
    "milliseconds where AMQP has seconds": raw(_HEADERS, table(b"T" + struct.pack(">Q", 1_763_760_000_000))),
    "a time at the end of all numbers": raw(_HEADERS, table(b"T" + b"\xff" * 8)),
    "a content type that is not UTF-8": raw(_CONTENT_TYPE, b"\x04a/\xff\xfe"),
    "tables in tables": raw(_HEADERS, table(nested(4000))),
}


@pytest.fixture
def channel(rabbitmq: RabbitMQ) -> Iterator[tuple[str, BlockingChannel]]:
    """Yield the name of a new queue and a channel to publish with."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq.url))
    found = connection.channel()
    found.confirm_delivery()
    yield name, found
    for suffix in ("", ".dead"):
        found.queue_delete(name + suffix)
    connection.close()


def test_a_message_whose_properties_cannot_be_read_is_a_dead_letter_and_its_neighbours_are_served(
    rabbitmq: RabbitMQ, channel: tuple[str, BlockingChannel], tmp_path: Path
) -> None:
    name, publisher = channel
    with TelecineProcess(
        tmp_path,
        notes=True,
        broker_url=rabbitmq.url,
        amqp_queues=name,
        storage="folder",
        callback_secrets=json.dumps({"default": [SECRET]}),
    ) as process:
        process.start()
        wait_until(lambda: rabbitmq.read(name), what=lambda: process.log.read_text()[-3000:])
        bodies = [json.dumps({"id": f"odd-{n}", "type": "note", "data": {}}).encode() for n in range(len(UNREADABLE))]
        for number, (body, properties) in enumerate(zip(bodies, UNREADABLE.values(), strict=True)):
            good = json.dumps({"id": f"good-{number}", "type": "note", "data": {}}).encode()
            publisher.basic_publish("", name, good, mandatory=True)
            publisher.basic_publish("", name, body, properties, mandatory=True)
        for number in range(len(UNREADABLE)):
            assert process.wait_for_job(f"good-{number}").state == "completed"
        database = process.database()
        wait_until(lambda: dead_letters.newest_number(database) >= len(bodies))
        letters = dead_letters.list_newest(database, limit=100)
        assert sorted((letter.code, letter.body) for letter in letters) == [("invalid_request", b) for b in bodies]
        assert all("properties" in letter.message for letter in letters)
        assert "amqp_disconnected" not in process.log.read_text()
        replayed = process.run("dead-letters", "replay", "--all", check=False)
        assert b"properties" in replayed.stdout + replayed.stderr
        assert dead_letters.newest_number(database) == len(bodies)  # what is refused again makes no new letter
        database.close()
        # Recovery can read the dead-letter queue, too.
        recovered = recover(rabbitmq.url, name, delivery_limit=process.settings.amqp_delivery_limit)
        assert (recovered.returned, recovered.kept) == (0, len(bodies))
        assert process.stop() == 0


def test_a_routing_key_that_is_not_utf_8_costs_no_connection(
    rabbitmq: RabbitMQ, channel: tuple[str, BlockingChannel], tmp_path: Path
) -> None:
    name, publisher = channel
    with TelecineProcess(
        tmp_path,
        notes=True,
        broker_url=rabbitmq.url,
        amqp_queues=name,
        storage="folder",
        callback_secrets=json.dumps({"default": [SECRET]}),
    ) as process:
        process.start()
        wait_until(lambda: rabbitmq.read(name), what=lambda: process.log.read_text()[-3000:])
        body = json.dumps({"id": "odd", "type": "note", "data": {}}).encode()
        copied = pika.BasicProperties(headers={"CC": [name]})
        publisher.basic_publish("telecine.requests", b"\xff\xfe", body, copied, mandatory=True)
        assert process.wait_for_job("odd").state == "completed"
        assert "amqp_disconnected" not in process.log.read_text()
        assert process.stop() == 0
