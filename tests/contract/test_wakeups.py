"""Wake-ups go to the queue of their job's role and priority, on RabbitMQ and on SQS."""

from __future__ import annotations

import runpy
import uuid

import pytest
from celery import Celery
from kombu import Connection, Queue

from consumer.ledger.due import Wake
from consumer.wakeups.queues import ROLES, wake_queue
from consumer.wakeups.send import WakeUps
from schemas.envelope import PRIORITIES
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import S3
from tests.telecine_process import ROOT


@pytest.mark.parametrize("way", ["RabbitMQ", "SQS"])
def test_each_wake_up_is_on_the_queue_of_its_role_and_priority(
    way: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "SQS":
        s3: S3 = request.getfixturevalue("s3")
        given = {"broker_url": "sqs://", "sqs_endpoint_url": s3.url, "sqs_region": s3.region, "sqs_wait_seconds": 1}
    else:
        rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
        given = {"broker_url": rabbitmq.url}
    for name, value in given.items():
        monkeypatch.setenv(f"TELECINE_{name.upper()}", str(value))
    app = Celery("telecine", config_source=runpy.run_path(str(ROOT / "celeryconfig.py")), set_as_current=False)
    wakes = [Wake(f"{uuid.uuid4().hex}-{role}-{priority}", role, priority) for role in ROLES for priority in PRIORITIES]
    with app.connection_for_write() as connection:
        for queue in app.amqp.queues.values():
            queue(connection.default_channel).declare()
    try:
        assert WakeUps(app)(wakes)
        with app.connection_for_read() as connection:
            for wake in wakes:
                queue = app.amqp.queues[wake_queue(wake.role, wake.priority)]
                assert wake.job_id in _jobs(connection, queue), wake
    finally:
        app.close()


def _jobs(connection: Connection, queue: Queue) -> list[str]:
    """Read all messages of the queue and return their jobs."""
    found = []
    bound = queue(connection.default_channel)
    while (message := bound.get(no_ack=True)) is not None:
        found.append(message.payload[0][0])
    return found
