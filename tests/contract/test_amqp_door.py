"""The AMQP door on a real RabbitMQ while the ledger is unavailable."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from consumer.admission.message import AdmitResult, IncomingMessage
from consumer.doors import amqp
from consumer.doors.publish import publish
from ops.cli.sending import send
from schemas.settings import Settings
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import wait_until


def test_messages_stay_with_the_door_while_the_ledger_is_unavailable(
    rabbitmq: RabbitMQ, queue_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp, "HEARTBEAT_SECONDS", 3)
    sessions: list[str] = []
    declare = amqp.declare

    def counted(channel: Any, queues: Sequence[str], *, delivery_limit: int) -> None:
        sessions.append(queues[0])
        declare(channel, queues, delivery_limit=delivery_limit)

    monkeypatch.setattr(amqp, "declare", counted)
    queue, back = f"{queue_prefix}requests", time.monotonic() + 14  # more than twice the time of two heartbeats
    admitted = threading.Event()

    def admit(arrivals: Sequence[IncomingMessage]) -> Sequence[AdmitResult]:
        if time.monotonic() < back:
            raise sa.exc.OperationalError("SELECT", {}, Exception("away"))
        admitted.set()
        return [AdmitResult() for _ in arrivals]

    publish(rabbitmq.url, queue, [b"{}"], delivery_limit=1)
    door = amqp.AmqpDoor(rabbitmq.url, [queue], admit, lambda _: None, batch=10, batch_seconds=0.01, delivery_limit=1)
    thread = threading.Thread(target=door.run, daemon=True)
    thread.start()
    assert admitted.wait(60)
    time.sleep(0.5)
    door.stop()
    thread.join(30)
    assert sessions == [queue]
    # Neither redelivered nor dead-lettered.
    wait_until(lambda: rabbitmq.ctl("list_queues", "messages", "name").count(f"0\t{queue}") == 2)


def test_a_message_waits_for_others_only_if_some_came_before_it(rabbitmq: RabbitMQ, queue_prefix: str) -> None:
    queue, batches, wait = f"{queue_prefix}requests", [], 5.0
    arrived = threading.Semaphore(0)

    def admit(arrivals: Sequence[IncomingMessage]) -> Sequence[AdmitResult]:
        batches.append((time.monotonic(), len(arrivals)))
        arrived.release(len(arrivals))
        return [AdmitResult() for _ in arrivals]

    door = amqp.AmqpDoor(rabbitmq.url, [queue], admit, lambda _: None, batch=6, batch_seconds=wait, delivery_limit=1)
    thread = threading.Thread(target=door.run, daemon=True)
    thread.start()
    wait_until(lambda: door.connected)
    began = time.monotonic()
    publish(rabbitmq.url, queue, [b"{}"], delivery_limit=1)
    assert arrived.acquire(timeout=60)
    for _ in range(6):
        publish(rabbitmq.url, queue, [b"{}"], delivery_limit=1)
    assert all(arrived.acquire(timeout=60) for _ in range(6))
    door.stop()
    thread.join(30)
    assert [size for _, size in batches] == [1, 6]
    assert batches[0][0] - began < wait


def test_submit_reports_whether_a_door_reads_the_queue_friction_m13(rabbitmq: RabbitMQ, queue_prefix: str) -> None:
    settings = Settings(broker_url=SecretStr(rabbitmq.url), amqp_queues=[f"{queue_prefix}requests"])
    sent = send(settings, [b"{}"])
    assert (sent.read, sent.reader) == (False, "nothing reads it now: `telecine up` does")
    assert f"the queue {queue_prefix}requests at amqp://" in sent.place
    assert "guest:" not in str(sent)
    arrived = threading.Event()

    def admit(arrivals: Sequence[IncomingMessage]) -> Sequence[AdmitResult]:
        arrived.set()
        return [AdmitResult() for _ in arrivals]

    door = amqp.AmqpDoor(
        rabbitmq.url,
        settings.amqp_queues,
        admit,
        lambda _: None,
        batch=10,
        batch_seconds=0.01,
        delivery_limit=settings.amqp_delivery_limit,
    )
    thread = threading.Thread(target=door.run, daemon=True)
    thread.start()
    assert arrived.wait(60)
    sent = send(settings, [b"{}", b"{}"])
    door.stop()
    thread.join(30)
    assert (sent.read, sent.reader) == (True, "1 door reads it")
