"""Poison messages on a real RabbitMQ: dead letters in the ledger and the broker; other messages are served."""

from __future__ import annotations

import gzip
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from consumer.ledger import dead_letters
from consumer.ledger.database import Database
from tests.receiver import Receiver
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import TelecineProcess, wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
GOOD = b'{"id": "x", "type": "note", "data": {}}'
EVENT = {"cloudEvents:specversion": "1.0", "cloudEvents:source": "/s", "cloudEvents:type": "note"}


@dataclass(frozen=True)
class Queue:
    """A request queue that a running Telecine reads."""

    name: str
    channel: BlockingChannel
    process: TelecineProcess
    database: Database
    receiver: Receiver

    def send(self, body: bytes, **properties: Any) -> None:
        """Publish one message, confirmed by the broker."""
        self.channel.basic_publish("", self.name, body, pika.BasicProperties(**properties), mandatory=True)

    def serves(self) -> float:
        """Send a valid request and return the seconds until it completed."""
        job_id, started = f"good-{uuid.uuid4().hex[:8]}", time.monotonic()
        self.send(json.dumps({"id": job_id, "type": "note", "data": {}}).encode())
        assert self.process.wait_for_job(job_id).state == "completed"
        return time.monotonic() - started

    def dead(self, count: int) -> list[bytes]:
        """Read ``count`` messages from the dead-letter queue."""
        found: list[bytes] = []

        def take() -> bool:
            method, _, body = self.channel.basic_get(f"{self.name}.dead", auto_ack=True)
            if method is not None:
                assert body is not None
                found.append(body)
            return len(found) == count

        deadline = time.monotonic() + 60
        while not take():
            assert time.monotonic() < deadline, f"{len(found)} of {count} dead letters"
        assert self.channel.basic_get(f"{self.name}.dead", auto_ack=True)[0] is None
        return found

    def log(self) -> str:
        """Return the end of the log, for a failed test."""
        return self.process.log.read_text(errors="replace")[-3000:]


@pytest.fixture(scope="module")
def queue(rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    """Yield a Telecine with its own queue."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq.url))
    channel = connection.channel()
    channel.confirm_delivery()
    with (
        Receiver() as receiver,
        TelecineProcess(
            tmp_path_factory.mktemp("telecine"),
            notes=True,
            broker_url=rabbitmq.url,
            amqp_queues=name,
            storage="folder",
            callback_secrets=json.dumps({"default": [SECRET]}),
        ) as process,
    ):
        process.start()
        wait_until(lambda: rabbitmq.read(name))
        database = process.database()
        yield Queue(name, channel, process, database, receiver)
        database.close()
        assert process.stop() == 0
    for suffix in ("", ".dead"):
        channel.queue_delete(name + suffix)
    connection.close()


POISONS: list[tuple[str, bytes, dict[str, Any]]] = [
    ("invalid_json", b"", {}),
    ("invalid_json", b"null", {"content_type": "application/json"}),
    ("invalid_json", b"\xff\xfe\x00", {"content_type": "application/json", "content_encoding": "utf-8"}),
    ("invalid_json", b'{"a": NaN}', {}),
    ("invalid_json", b'{"a":' * 10_000, {}),
    ("invalid_json", b'{"a": "\\u0000"}', {}),
    ("invalid_json", b'{"a": 1, "a": 2}', {}),
    ("invalid_json", gzip.compress(GOOD)[:-9], {"content_encoding": "gzip", "content_type": "application/json"}),
    ("invalid_json", b"\x80\x04\x95\x0b", {"content_type": "application/x-python-serialize"}),
    ("message_too_large", b'{"id": "' + b"x" * 10_000_000, {}),
    ("unknown_type", b'{"id": "x", "type": "hologram", "data": {}}', {"content_encoding": "klingon"}),
    ("unknown_field", b'{"id": "x", "type": "note", "data": {"zoom": 1}}', {"headers": {"x-death": "nonsense"}}),
    ("address_forbidden", b'{"id":"x","type":"note","data":{},"callback":{"url":"http://169.254.169.254/"}}', {}),
    ("job_not_found", b'{"type": "job.cancel", "data": {"id": "unknown"}}', {}),
    ("missing_field", b"{}", {"headers": EVENT}),
    ("invalid_json", b"{}", {"headers": EVENT | {"cloudEvents:id": "a\x00b"}}),
    ("invalid_field", b"{}", {"headers": EVENT | {"cloudEvents:id": "a", "cloudEvents:deadline": "²"}}),
]


def test_every_poison_is_dead_lettered_byte_for_byte_and_the_next_request_is_served(queue: Queue) -> None:
    queue.serves()
    known = dead_letters.newest_number(queue.database)
    for _, body, properties in POISONS:
        queue.send(body, **properties)
    assert queue.serves() < 20
    wait_until(lambda: dead_letters.newest_number(queue.database) >= known + len(POISONS), what=queue.log)
    kept = list(dead_letters.list_newest(queue.database, limit=len(POISONS)))[::-1]
    # Of the message that is too large the ledger keeps the beginning; the broker's dead letter is whole.
    expected = sorted((code, body[: dead_letters.KEPT_BYTES]) for code, body, _ in POISONS)
    assert sorted((r.code, r.body) for r in kept) == expected
    assert {(r.door, r.source) for r in kept} == {("amqp", queue.name)}
    assert sorted(queue.dead(len(POISONS))) == sorted(body for _, body, _ in POISONS)
    assert queue.process.running


def test_the_producer_of_a_refused_message_gets_a_callback(queue: Queue) -> None:
    callback = {"url": queue.receiver.url}
    queue.send(json.dumps({"id": "told", "type": "hologram", "data": {}, "callback": callback}).encode())
    (attempt,) = queue.receiver.wait_for(1)
    data = queue.receiver.verify(attempt, SECRET)["data"]
    assert (data["id"], data["status"], data["error"]["code"]) == ("told", "failed", "unknown_type")
    assert len(queue.dead(1)) == 1


def test_a_message_is_read_by_its_bytes_and_not_by_its_content_type(queue: Queue) -> None:
    for number, (kind, encoding) in enumerate(
        [("text/plain", "klingon"), ("application/x-python-serialize", "binary"), (None, None)]
    ):
        body = json.dumps({"id": f"odd-{number}", "type": "note", "data": {}}).encode()
        queue.send(body, content_type=kind, content_encoding=encoding)
        assert queue.process.wait_for_job(f"odd-{number}").state == "completed"


def test_a_thousand_poisons_do_not_stop_the_amqp_door(queue: Queue) -> None:
    alone = min(queue.serves() for _ in range(3))
    known = dead_letters.newest_number(queue.database)
    bodies = [b'{"poison": %d' % number for number in range(1000)]
    for number, body in enumerate(bodies):
        queue.send(body)
        if number == 500:
            meanwhile = queue.serves()
    assert meanwhile < max(2 * alone, alone + 15)
    wait_until(lambda: dead_letters.newest_number(queue.database) >= known + 1000, timeout=90, what=queue.log)
    assert sorted(r.body for r in dead_letters.list_newest(queue.database, limit=1000)) == sorted(bodies)
    assert sorted(queue.dead(1000)) == sorted(bodies)
    queue.serves()
    assert "amqp_disconnected" not in queue.process.log.read_text()
