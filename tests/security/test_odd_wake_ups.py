"""No message on a wake-up queue stops a worker: anyone who may send requests may also publish there."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pika

from consumer.ledger.states import State
from tests.odd_wake_ups import ODD
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import TelecineProcess, wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#: Enough copies of each message to fill all prefetch slots of a worker.
COPIES = 3


def test_no_message_on_a_wake_up_queue_stops_its_worker(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    name = f"test-{uuid.uuid4().hex[:12]}"
    with (
        pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection,
        TelecineProcess(
            tmp_path,
            notes=True,
            broker_url=rabbitmq.url,
            amqp_queues=name,
            storage="folder",
            wake_again_seconds=600,
            callback_secrets=json.dumps({"default": [SECRET]}),
        ) as process,
    ):
        channel = connection.channel()
        channel.confirm_delivery()
        process.start()

        def send(job_id: str) -> None:
            body = json.dumps({"id": job_id, "type": "note", "data": {}})
            channel.basic_publish("", name, body.encode(), mandatory=True)

        wait_until(lambda: rabbitmq.read(name) and rabbitmq.read("telecine.render.normal"))
        for number, (headers, body) in enumerate(ODD):
            odd = pika.BasicProperties(headers=headers, content_type="application/json", content_encoding="utf-8")
            for _ in range(COPIES):
                channel.basic_publish("", "telecine.render.normal", body, odd, mandatory=True)
            send(f"between-{number}")
        for number in range(len(ODD)):
            assert process.wait_for_job(f"between-{number}").state is State.COMPLETED
        log = process.log.read_text()
        assert "wakeup_unreadable" in log
        assert "worker_process_exited" not in log
        assert process.stop() == 0
