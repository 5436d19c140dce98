"""Every producer program of the guide, run as printed: its job completes once."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import boto3
import pytest

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
