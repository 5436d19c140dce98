"""Every producer program of the guide, run as printed: its job completes once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import boto3
import pika
import pytest

import telecine_client
from consumer.ledger.queries import list_jobs
from consumer.ledger.states import State
from tests.acceptance import guide
from tests.acceptance.line import SECRET
from tests.edge_process import started_at
from tests.media_probe import write_photo, write_wav
from tests.pages import Fence, fences
from tests.servers.aws_cli import AwsCli
from tests.servers.ministack import Ministack
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import S3, endpoint
from tests.telecine_process import TelecineProcess, wait_until

SENT = fences("*", "send")


@dataclasses.dataclass(frozen=True)
class Site:
    """Telecine with the queues and buckets that the guide names, and the environment of its programs."""

    telecine: TelecineProcess
    rabbitmq: RabbitMQ
    environment: dict[str, str]
    #: URL of a virtual host without queues.
    empty: str


@pytest.fixture(scope="module")
def site(rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield Telecine on its own virtual host, S3 and SQS, so that no other test uses the guide's names."""
    urls = []
    for _ in range(2):
        vhost = f"guide-{uuid.uuid4().hex[:8]}"
        rabbitmq.ctl("add_vhost", vhost)
        rabbitmq.ctl("set_permissions", "-p", vhost, "guest", ".*", ".*", ".*")
        urls.append(rabbitmq.url.removesuffix("%2F") + vhost)
    server = Ministack()
    try:
        server.start()
        s3 = endpoint("ministack", server)
        _set_up(s3, tmp_path_factory.mktemp("media"))
        cli = AwsCli(s3, tmp_path_factory.mktemp("aws"))
        telecine = TelecineProcess(
            tmp_path_factory.mktemp("guide") / "home",
            broker_url=urls[0],
            storage="s3",
            s3_endpoint_url=s3.url,
            sqs_endpoint_url=s3.url,
            sqs_queues="telecine-requests",
            callback_secrets=json.dumps({"default": [SECRET]}),
            edge_port=0,
            triggers=json.dumps([{"bucket": "inbox", "suffix": ".request.json", "manifest": True}]),
        )
        with telecine:
            telecine.start(env=s3.environment, arguments=("up", "--only", "doors,sweep,calls,outbox,worker,edge"))
            wait_until(lambda: rabbitmq.read("telecine.requests", urls[0].rpartition("/")[2]))
            edge = wait_until(lambda: started_at(telecine.log))
            addresses = {"AWS_ENDPOINT_URL": s3.url, "AMQP_URL": urls[0], "EDGE_URL": edge}
            yield Site(telecine, rabbitmq, {**cli.environment, "AWS_REGION": s3.region, **addresses}, urls[1])
    finally:
        server.close()


def _set_up(s3: S3, folder: Path) -> None:
    """Create buckets, media, a queue with a dead-letter queue, and the notifications of uploads."""
    client = s3.client()
    for bucket in ("inbox", "results"):
        client.create_bucket(Bucket=bucket)
    client.upload_file(str(write_photo(folder / "cover.jpg")), "inbox", "cover.jpg")
    client.upload_file(str(write_wav(folder / "song.wav", 1.0)), "inbox", "song.mp3")
    sqs = boto3.session.Session(s3.access_key, s3.secret_key, region_name=s3.region).client("sqs", endpoint_url=s3.url)
    queue = sqs.create_queue(QueueName="telecine-requests")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    client.put_bucket_notification_configuration(
        Bucket="inbox",
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]},
    )


@pytest.mark.parametrize("fence", SENT, ids=str)
def test_the_program_makes_its_reel(fence: Fence, site: Site, tmp_path: Path) -> None:
    done = guide.run(fence.words[0], fence.text, tmp_path, site.environment)
    assert done.returncode == 0, done.stderr
    for job_id in fence.words[2:]:
        job = site.telecine.wait_for_job(job_id)
        assert job.state is State.COMPLETED, job
    again = guide.run(fence.words[0], fence.text, tmp_path, site.environment)
    assert again.returncode == 0, again.stderr
    _wait_for_duplicates(site, fence.words[2:])


def _wait_for_duplicates(site: Site, ids: Sequence[str]) -> None:
    database = site.telecine.database()
    try:
        wait_until(lambda: all(job.duplicates for job in list_jobs(database) if job.id in ids), what=lambda: str(ids))
    finally:
        database.close()


@pytest.mark.parametrize("fence", [fence for fence in SENT if "AMQP_URL" in fence.text], ids=str)
def test_the_program_fails_if_no_queue_takes_its_message(fence: Fence, site: Site, tmp_path: Path) -> None:
    done = guide.run(fence.words[0], fence.text, tmp_path, {**site.environment, "AMQP_URL": site.empty})
    assert done.returncode != 0
    assert any(text in done.stderr for text in ("NO_ROUTE", "UnroutableError", "has no queue 'telecine.requests'"))


def test_the_guide_has_a_program_for_every_client_and_door() -> None:
    clients = (
        "amqplib",
        "pika",
        "telecine_client.RabbitMQ",
        "telecine_client.SQS",
        "telecine-types",
        "com.rabbitmq.client",
        "aws sqs",
        "client-sqs",
        "boto3",
        "aws s3 cp",
    )
    assert [name for name in clients if not any(name in fence.text for fence in SENT)] == []
    ids = [job_id for fence in SENT for job_id in fence.words[2:]]
    assert len(ids) == len(set(ids))


def test_the_client_needs_nothing_of_telecine(site: Site) -> None:
    done = subprocess.run(
        [guide.CLIENT, "-W", "error", Path(__file__).with_name("client_line.py")],
        env={**site.environment, "SECRET": SECRET},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["absent"] == ["celery", "numpy", "consumer", "ops"]

    assert {name: (job["status"], job["door"]) for name, job in found["jobs"].items()} == {
        "amqp": ("completed", "amqp"),
        "sqs": ("completed", "sqs"),
        "s3": ("completed", "sqs"),
        "edge": ("completed", "amqp"),
    }
    assert set(telecine_client.Job.__annotations__) <= set(found["jobs"]["amqp"])
    video = next(output for output in found["jobs"]["amqp"]["outputs"] if output["name"] == "video.mp4")
    with urllib.request.urlopen(video["url"], timeout=30) as answer:
        assert hashlib.sha256(answer.read()).hexdigest() == video["sha256"]
    assert video["sha256"] in [artifact["sha256"] for artifact in found["manifest"]["artifacts"]]
    assert found["uploaded"] == "s3://results/~uploads/client-upload/image"

    assert {name: (event["type"], event["data"]["status"]) for name, event in found["callbacks"].items()} == {
        **{f"client-{name}": ("job.completed", "completed") for name in found["jobs"]},
        "client-broken": ("job.failed", "failed"),
        "client-later": ("job.failed", "cancelled"),
    }
    errors = {name: (error["kind"], error["code"]) for name, error in {**found["failures"], **found["refused"]}.items()}
    assert errors == {
        "broken": ("JobError", "input_not_found"),
        "later": ("JobError", "cancelled"),
        "no control messages": ("RequestError", "invalid_request"),
        "conflict": ("RequestError", "id_conflict"),
        "unknown id": ("WaitTimeoutError", "wait_timeout"),
        "no broker": ("SendError", "not_sent"),
        "no edge": ("SendError", "not_sent"),
        "no bucket": ("SendError", "not_sent"),
        "no queue": ("SendError", "not_sent"),
        "no manifest": ("WaitTimeoutError", "wait_timeout"),
    }
    assert "127.0.0.1:1" in found["refused"]["no broker"]["message"]
    assert "s3cret" not in done.stdout


def test_the_client_survives_a_lost_connection_and_reports_a_full_queue(rabbitmq: RabbitMQ, queue_prefix: str) -> None:
    queue = f"{queue_prefix}full"
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
        full = {"x-max-length": 2, "x-overflow": "reject-publish"}
        connection.channel().queue_declare(queue, auto_delete=True, arguments=full)
    with telecine_client.RabbitMQ(rabbitmq.url, queue=queue) as door:
        door.cancel("order-1")
        rabbitmq.ctl("close_all_connections", "--vhost", "/", "a test")
        door.cancel("order-2")
        with pytest.raises(telecine_client.SendError, match="the queue may be full"):
            door.cancel("order-3")


def test_the_installed_client_is_the_one_in_the_repository() -> None:
    source = guide.CLIENTS / "telecine_client"
    (installed,) = guide.CLIENT.parents[1].glob("lib/*/site-packages/telecine_client")
    files = {path.name: path.read_bytes() for path in source.iterdir() if path.is_file()}
    there = {path.name: path.read_bytes() for path in installed.iterdir() if path.is_file()}
    assert there == files, "run tests/servers/install.sh"
    assert "py.typed" in there
