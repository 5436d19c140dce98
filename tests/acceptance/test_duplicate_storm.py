"""A storm of duplicates: the same requests over RabbitMQ, SQS and uploads to S3, in any order."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from consumer.doors.publish import publish
from consumer.ledger.queries import list_jobs, timeline_of
from tests.acceptance.test_sqs_line import telecine_on_sqs
from tests.ledger_views import count_jobs
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import S3
from tests.servers.sqs import make_queue
from tests.telecine_process import wait_until

JOBS = 200
DOORS = ("amqp", "sqs", "s3")


@pytest.mark.timeout(600)
def test_two_hundred_jobs_sent_up_to_five_times_each_by_three_doors_run_once_each(
    rabbitmq: RabbitMQ, queue_prefix: str, s3: S3, bucket: str, tmp_path: Path
) -> None:
    chance = random.Random(20261121)
    runs = tmp_path / "runs"
    requests = [
        {"id": f"storm-{n}", "type": "note", "data": {"text": f"{n}", "ledger_of_runs": str(runs)}} for n in range(JOBS)
    ]
    copies = [request for request in requests for _ in range(chance.randint(1, 5))]
    chance.shuffle(copies)
    requests_queue, events = make_queue(s3, f"{queue_prefix}requests"), make_queue(s3, f"{queue_prefix}events")
    _notify(s3, bucket, events.client.get_queue_attributes(QueueUrl=events.url, AttributeNames=["QueueArn"]))
    s3.client().create_bucket(Bucket=f"{bucket}-out")
    amqp = f"{queue_prefix}amqp"
    settings: dict[str, object] = {
        "broker_url": rabbitmq.url,
        "amqp_queues": amqp,
        "sqs_queues": f"{requests_queue.name},{events.name}",
        "triggers": json.dumps([{"bucket": bucket, "suffix": [".request.json"], "manifest": True}]),
        "output": f"s3://{bucket}-out/",
        "concurrency": 4,
    }
    with telecine_on_sqs(tmp_path / "home", s3, requests_queue, bucket, **settings) as telecine:
        telecine.start()
        sent: Counter[str] = Counter()
        for start in range(0, len(copies), 10):
            some, door = copies[start : start + 10], DOORS[start // 10 % 3]
            sent[door] += len(some)
            _send(door, some, rabbitmq, amqp, requests_queue, s3, bucket, start)

        database = telecine.database()
        wait_until(
            lambda: (
                sum(job.duplicates + 1 for job in list_jobs(database, limit=JOBS)) == len(copies)
                and count_jobs(database) == {"completed": JOBS}
            ),
            timeout=200,
            what=lambda: f"{count_jobs(database)} of {sent}",
        )
        assert len(runs.read_text().splitlines()) == JOBS
        doors = Counter(
            entry.detail["door"]
            for request in requests
            for entry in timeline_of(database, str(request["id"]))
            if entry.event in ("received", "duplicate")
        )
        # The events of uploads arrive through the SQS queue.
        assert doors == {"amqp": sent["amqp"], "sqs": sent["sqs"] + sent["s3"]}
        wait_until(lambda: requests_queue.counts() == events.counts() == (0, 0))
        assert requests_queue.dead(0) == events.dead(0) == []


def _send(
    door: str, some: list[dict[str, Any]], rabbitmq: RabbitMQ, amqp: str, sqs: Any, s3: S3, bucket: str, start: int
) -> None:
    if door == "amqp":
        publish(rabbitmq.url, amqp, [json.dumps(request).encode() for request in some], delivery_limit=20)
    elif door == "sqs":
        sqs.send(*some)
    else:
        for number, request in enumerate(some):
            key = f"uploads/{start + number}.request.json"
            s3.client().put_object(Bucket=bucket, Key=key, Body=json.dumps(request).encode())


def _notify(s3: S3, bucket: str, queue: Any) -> None:
    """Configure the bucket to send an event to the queue for every object."""
    to: Any = {"QueueArn": queue["Attributes"]["QueueArn"], "Events": ["s3:ObjectCreated:*"]}
    s3.client().put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [to]}
    )
