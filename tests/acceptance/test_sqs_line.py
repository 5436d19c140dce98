"""Jobs from SQS, end to end, with Celery on RabbitMQ, with Celery on SQS and without a broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from consumer.ledger.queries import list_jobs, timeline_of
from consumer.ledger.states import State
from consumer.wakeups.sqs_transport import Transport
from tests.acceptance.line import SECRET, objects_below, upload_media
from tests.chaos.evidence import check_callback_once, check_finished_once
from tests.fault_proxy import Fault, FaultProxy
from tests.ledger_views import count_jobs
from tests.odd_wake_ups import ODD
from tests.receiver import Receiver
from tests.servers.aws_cli import AwsCli
from tests.servers.ministack import Ministack
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import S3
from tests.servers.sqs import Sqs, make_queue
from tests.telecine_process import ROOT, TelecineProcess, wait_until

SMALL = {"width": 270, "height": 480}


def telecine_on_sqs(home: Path, s3: S3, queue: Sqs, bucket: str | None = None, **settings: object) -> TelecineProcess:
    """Return a Telecine, not started, that reads ``queue``; without a broker unless the settings have one."""
    stored: dict[str, object] = {"storage": "folder"}
    if bucket is not None:
        stored = {
            "storage": "s3",
            "s3_endpoint_url": s3.url,
            "s3_region": s3.region,
            "output": f"s3://{bucket}/results/",
        }
    chosen: dict[str, object] = {
        "sqs_queues": queue.name,
        "sqs_endpoint_url": s3.url,
        "sqs_region": s3.region,
        "sqs_wait_seconds": 1,
        "callback_secrets": json.dumps({"default": [SECRET]}),
    }
    return TelecineProcess(home, notes=True, **(chosen | stored | settings))


@pytest.fixture
def queue(s3: S3, queue_prefix: str) -> Sqs:
    """Return a request queue with a dead-letter queue."""
    return make_queue(s3, f"{queue_prefix}requests")


@pytest.mark.parametrize("way", ["no broker", "celery on RabbitMQ", "celery on SQS"])
def test_a_request_sent_with_the_aws_cli_becomes_a_reel_and_a_callback(
    way: str, aws_cli: AwsCli, s3: S3, bucket: str, queue: Sqs, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings: dict[str, object] = {}
    if way == "celery on RabbitMQ":
        rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
        settings = {"broker_url": rabbitmq.url, "amqp_queues": f"{queue.name}-amqp"}
    elif way == "celery on SQS":
        settings = {"broker_url": "sqs://"}
    data = upload_media(s3, bucket, tmp_path, seconds=1.0) | {"lyrics": "One two", "alignment_mode": "even"}
    with Receiver() as receiver, telecine_on_sqs(tmp_path / "home", s3, queue, bucket, **settings) as telecine:
        telecine.start()
        body = {"id": "order-1", "type": "reel", "data": data | SMALL, "callback": {"url": receiver.url}}
        aws_cli("sqs", "send-message", "--queue-url", queue.url, "--message-body", json.dumps(body))
        job = telecine.wait_for_job("order-1")
        check_finished_once(telecine.database(), job, objects_below(s3, bucket, "results/order-1/"))
        check_callback_once(receiver, "order-1", SECRET)
        assert timeline_of(telecine.database(), "order-1")[0].detail["door"] == "sqs"
        wait_until(lambda: queue.counts() == (0, 0))
        assert telecine.stop() == 0


def test_a_cloud_event_in_message_attributes_is_a_request(s3: S3, queue: Sqs, tmp_path: Path) -> None:
    with telecine_on_sqs(tmp_path / "home", s3, queue) as telecine:
        telecine.start()
        event = {"ce-specversion": "1.0", "ce-source": "/shop", "ce-id": "e-1", "ce-type": "note", "ce-deadline": "60"}
        queue.send({"text": "from attributes"}, attributes=event)
        job = telecine.wait_for_job("e-1")
        assert job.state is State.COMPLETED
        assert job.deadline_at is not None


def test_a_worker_of_one_role_runs_its_jobs_with_celery_on_sqs(s3: S3, queue: Sqs, tmp_path: Path) -> None:
    with telecine_on_sqs(tmp_path / "home", s3, queue, broker_url="sqs://", wake_again_seconds=600) as telecine:
        telecine.start(arguments=("up", "--only", "doors,sweep,outbox"))
        command = [sys.executable, "-m", "ops.cli.main", "worker", "--role", "render", "--concurrency", "1"]
        worker = subprocess.Popen(command, cwd=ROOT, env=telecine.inherited(), stderr=subprocess.DEVNULL)
        try:
            queue.send({"id": "urgent", "type": "note", "priority": "high", "data": {}})
            job = telecine.wait_for_job("urgent")
            assert (job.state, job.role, job.priority) == (State.COMPLETED, "render", "high")
        finally:
            worker.terminate()
            worker.wait(60)


def test_celery_on_sqs_survives_the_kill_of_its_worker_and_of_all_processes(s3: S3, queue: Sqs, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with telecine_on_sqs(tmp_path / "home", s3, queue, broker_url="sqs://") as telecine:
        telecine.start()
        for number in range(4):
            data = {"seconds": 4, "ledger_of_runs": str(runs)}
            queue.send({"id": f"k-{number}", "type": "note", "data": data})
        database = telecine.database()
        wait_until(lambda: any(job.state is State.RUNNING for job in list_jobs(database)))
        (worker,) = _children(telecine.pid)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: _children(telecine.pid) not in ([], [worker]))
        wait_until(lambda: "completed" in count_jobs(database))
        telecine.kill()
        telecine.start()
        wait_until(lambda: count_jobs(database) == {"completed": 4}, timeout=90, what=lambda: str(count_jobs(database)))
        # A worker killed between its work and the record does the work again: one run for each job and each crash.
        crashes = sum(job.crashes for job in list_jobs(database))
        assert 4 <= len(runs.read_text().splitlines()) <= 4 + crashes
        assert telecine.stop() == 0


def test_the_sweep_recovers_jobs_that_celery_misses_while_its_sqs_is_unreachable(
    s3: S3, queue: Sqs, ministack: Ministack, tmp_path: Path
) -> None:
    with FaultProxy(ministack.port) as proxy:
        # Celery's connection to SQS breaks, the door's does not.
        address = f"sqs://{s3.access_key}:{s3.secret_key}@127.0.0.1:{proxy.port}"
        with telecine_on_sqs(tmp_path / "home", s3, queue, broker_url=address) as telecine:
            telecine.start()
            queue.send({"id": "before", "type": "note", "data": {}})
            assert telecine.wait_for_job("before").state is State.COMPLETED
            proxy.fault = Fault(refuse=True, reset_after_bytes=0)
            queue.send({"id": "during", "type": "note", "data": {}})
            wait_until(lambda: len(list_jobs(telecine.database())) == 2)
            wait_until(lambda: "reading_wakeups_failed" in telecine.log.read_text())
            assert list_jobs(telecine.database())[0].state is State.RECEIVED
            proxy.fault = Fault()
            assert telecine.wait_for_job("during").state is State.COMPLETED
            queue.send({"id": "after", "type": "note", "data": {}})
            assert telecine.wait_for_job("after").state is State.COMPLETED
            assert telecine.stop() == 0


def test_two_machines_without_a_broker_share_a_queue_and_a_ledger(
    s3: S3, bucket: str, queue: Sqs, postgres_url: str, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    settings = {"ledger_url": postgres_url, "sqs_visibility_seconds": 8}
    one = telecine_on_sqs(tmp_path / "one", s3, queue, bucket, **settings)
    other = telecine_on_sqs(tmp_path / "other", s3, queue, bucket, **settings)
    with one, other:
        one.start()
        other.start()
        for number in range(12):
            data = {"seconds": 0.5, "ledger_of_runs": str(runs)}
            queue.send({"id": f"m-{number}", "type": "note", "data": data})
        database = other.database()
        wait_until(lambda: "completed" in count_jobs(database))
        one.kill()
        wait_until(
            lambda: count_jobs(database) == {"completed": 12}, timeout=90, what=lambda: str(count_jobs(database))
        )
        assert other.stop() == 0
    events = Counter(entry.event for number in range(12) for entry in timeline_of(database, f"m-{number}"))
    database.close()
    assert events["completed"] == 12


def test_a_job_that_takes_longer_than_the_visibility_timeout_runs_once(s3: S3, queue: Sqs, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with telecine_on_sqs(tmp_path / "home", s3, queue, sqs_visibility_seconds=6) as telecine:
        telecine.start()
        queue.send({"id": "long", "type": "note", "data": {"seconds": 10, "ledger_of_runs": str(runs)}})
        assert telecine.wait_for_job("long").state is State.COMPLETED
        assert len(runs.read_text().splitlines()) == 1
        assert list_jobs(telecine.database())[0].duplicates == 0


def test_submit_sends_the_request_to_sqs_when_celery_uses_sqs_too(s3: S3, queue: Sqs, tmp_path: Path) -> None:
    telecine = telecine_on_sqs(tmp_path / "home", s3, queue, broker_url="sqs://")
    telecine.submit({"id": "s-1", "type": "note", "data": {}})
    assert queue.counts() == (1, 0)


def _children(pid: int) -> list[int]:
    """Return the child processes of all threads of a process."""
    found = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for children in found for child in children]


def test_invalid_messages_on_a_wake_up_queue_do_not_stop_its_worker(s3: S3, queue: Sqs, tmp_path: Path) -> None:
    junk = ["hello", '{"properties": 5}', '{"properties": {"delivery_info": []}}', '{"properties": {}}', "//79"]
    address = {"exchange": "", "routing_key": "x"}
    kombu: dict[str, Any] = {
        "body": "W1tdLCB7fSwge31d",
        "headers": {"task": "telecine.advance", "id": "x"},
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "properties": {"body_encoding": "base64", "delivery_info": address},
    }
    changes: list[dict[str, Any]] = [
        {"body": None},
        {"properties": {"body_encoding": "rot13", "delivery_info": address}},
        {"properties": {"delivery_info": address | {"routing_key": 5}}},
    ]
    changes += [{"headers": headers, "body": b64encode(body).decode()} for headers, body in ODD]
    junk += [json.dumps(kombu | change) for change in changes]
    with telecine_on_sqs(tmp_path / "home", s3, queue, broker_url="sqs://", wake_again_seconds=600) as telecine:
        telecine.start()
        queue.send({"id": "first", "type": "note", "data": {}})
        assert telecine.wait_for_job("first").state is State.COMPLETED
        names = [url for url in queue.client.list_queues().get("QueueUrls", []) if "telecine-" in url]
        assert names
        entries: list[Any] = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(junk)]
        for url in names:
            for first in range(0, len(entries), 10):
                queue.client.send_message_batch(QueueUrl=url, Entries=entries[first : first + 10])
        for number in range(5):
            queue.send({"id": f"later-{number}", "type": "note", "data": {}})
            assert telecine.wait_for_job(f"later-{number}").state is State.COMPLETED
        assert "worker_process_exited" not in telecine.log.read_text()
        assert telecine.stop() == 0


def test_unreadable_messages_are_deleted_and_the_rest_of_their_batch_is_delivered(
    s3: S3, queue: Sqs, monkeypatch: pytest.MonkeyPatch
) -> None:
    good: dict[str, Any] = {"body": "e30=", "properties": {"body_encoding": "base64", "delivery_info": {}}}
    unreadable: list[dict[str, Any]] = [{"properties": 5}, {"properties": {"delivery_info": []}}, good | {"body": 5}]
    for key, value in (("AWS_ACCESS_KEY_ID", s3.access_key), ("AWS_SECRET_ACCESS_KEY", s3.secret_key)):
        monkeypatch.setenv(key, value)
    options = {"region": s3.region, "is_secure": False, "wait_time_seconds": 1}
    address = f"sqs://{s3.access_key}:{s3.secret_key}@{s3.url.removeprefix('http://')}//"
    read: list[bytes] = []
    with Connection(address, transport=Transport, transport_options=options) as connection:
        channel: Any = connection.channel()
        channel.basic_consume(queue.name, False, lambda message: read.append(message.body), "tag")
        for body in (*unreadable, good):
            queue.send(body)
        found: list[Any] = []
        while len(found) < 4:
            answer = queue.client.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            found += answer.get("Messages", [])
        channel._on_messages_ready(queue.url, queue.name, {"Messages": found})
        assert (read, queue.counts()) == ([b"{}"], (0, 1))  # the valid message is in flight until it is acknowledged
