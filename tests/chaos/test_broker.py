"""RabbitMQ is stopped, killed and restarted while messages are published with confirms; PostgreSQL is unreachable."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path

import pika
import pytest
import sqlalchemy as sa

from consumer.ledger.database import Database
from consumer.ledger.queries import timeline_of
from consumer.wakeups.queues import wake_queue
from tests.fault_proxy import Fault, FaultProxy
from tests.ledger_views import count_jobs
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import TelecineProcess, wait_until

SECRETS = '{"default": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}'
MESSAGES = 1_000


class Producer(threading.Thread):
    """Publishes numbered jobs and repeats those that the broker did not confirm."""

    def __init__(self, url: str, queue: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._queue = queue
        self.confirmed = 0
        self.published = 0

    def run(self) -> None:
        while self.confirmed < MESSAGES:
            try:
                self._session()
            except (pika.exceptions.AMQPError, OSError):
                time.sleep(0.3)

    def _session(self) -> None:
        parameters = pika.URLParameters(self._url)
        parameters.blocked_connection_timeout = 5
        connection = pika.BlockingConnection(parameters)
        channel = connection.channel()
        channel.confirm_delivery()
        persistent = pika.BasicProperties(content_type="application/json", delivery_mode=2)
        while self.confirmed < MESSAGES:
            body = json.dumps({"id": f"m-{self.confirmed}", "type": "noop", "data": {}}).encode()
            self.published += 1
            channel.basic_publish("", self._queue, body, persistent, mandatory=True)
            self.confirmed += 1
        connection.close()


@pytest.mark.timeout(600)
def test_every_confirmed_request_ends_exactly_once_although_the_broker_is_stopped_and_killed(
    rabbitmq: RabbitMQ, queue_prefix: str, tmp_path: Path
) -> None:
    queue = f"{queue_prefix}requests"
    settings = {"broker_url": rabbitmq.url, "amqp_queues": queue, "callback_secrets": SECRETS, "storage": "folder"}
    with TelecineProcess(tmp_path / "home", notes=True, **settings) as telecine:
        telecine.start()
        wait_until(lambda: rabbitmq.read(queue) and rabbitmq.read(wake_queue("io", "normal")))
        # RabbitMQ 3.10 does not recover a quorum queue that was declared shortly before a SIGKILL.
        time.sleep(5)
        producer = Producer(rabbitmq.url, queue)
        producer.start()
        wait_until(lambda: producer.confirmed >= MESSAGES // 4)
        rabbitmq.stop()
        time.sleep(0.5)
        rabbitmq.start()
        wait_until(lambda: producer.confirmed >= MESSAGES // 2)
        rabbitmq.kill()
        rabbitmq.start()
        producer.join(120)
        assert producer.confirmed == MESSAGES

        database = telecine.database()
        wait_until(
            lambda: count_jobs(database).get("completed") == MESSAGES,
            timeout=300,
            what=lambda: str(count_jobs(database)),
        )
        assert count_jobs(database) == {"completed": MESSAGES}
        assert _ended_twice(database) == []
        assert telecine.stop() == 0


def _ended_twice(database: Database) -> list[str]:
    ids = [f"m-{number}" for number in range(MESSAGES)]
    return [job for job in ids if [entry.event for entry in timeline_of(database, job)].count("completed") != 1]


def test_the_waiting_jobs_end_soon_after_an_outage_of_the_ledger_attack_7(
    rabbitmq: RabbitMQ, postgres: Postgres, queue_prefix: str, tmp_path: Path
) -> None:
    queue = f"{queue_prefix}requests"
    url = sa.engine.make_url(postgres.create_database())
    with FaultProxy(postgres.port) as proxy:
        ledger_url = url.set(port=proxy.port).render_as_string(hide_password=False)
        settings = {"broker_url": rabbitmq.url, "amqp_queues": queue, "callback_secrets": SECRETS, "storage": "folder"}
        # If a wake-up were lost, the job would wait for the next one, longer than this test does.
        settings |= {"ledger_url": ledger_url, "lease_seconds": "3", "wake_again_seconds": "600"}
        with TelecineProcess(tmp_path / "home", notes=True, **settings) as telecine:
            telecine.start()
            wait_until(lambda: rabbitmq.read(queue))
            with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
                for number in range(12):
                    request = {"id": f"n-{number}", "type": "note", "data": {"seconds": 0.5}}
                    connection.channel().basic_publish("", queue, json.dumps(request).encode())
            database = Database(url)
            wait_until(lambda: count_jobs(database).get("completed", 0) >= 2)
            proxy.fault = Fault(refuse=True, reset_after_bytes=0)
            time.sleep(12)  # longer than a wake-up waits in a worker
            proxy.fault = Fault()
            # Half a second for two jobs at once, and a lease for those that ran.
            wait_until(lambda: count_jobs(database) == {"completed": 12}, timeout=60, what=telecine.log.read_text)
            log = telecine.log.read_text()
            assert "wakeup_waits_for_ledger" in log
            assert not re.findall(r"[^\n]*Traceback[^\n]*", log)
            database.close()
