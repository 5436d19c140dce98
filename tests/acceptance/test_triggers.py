"""Uploads that become jobs by their events alone: S3, SNS, EventBridge, MinIO's event format and a real Ceph."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pika
import pytest
from PIL import Image

from consumer.ledger import dead_letters, uploads
from consumer.ledger.queries import list_jobs
from consumer.ledger.records import Job
from consumer.ledger.states import State
from tests.acceptance import guide
from tests.acceptance.line import SECRET, objects_below
from tests.chaos.evidence import check_callback_once, check_finished_once
from tests.media_probe import write_photo, write_wav
from tests.pages import one_fence
from tests.receiver import Receiver
from tests.s3_messages import notified
from tests.servers.aws_cli import AwsCli
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import S3
from tests.servers.sqs import Sqs, make_queue
from tests.telecine_process import TelecineProcess, wait_until

SMALL = {"alignment_mode": "even", "width": 270, "height": 480}


@dataclass(frozen=True)
class Inbox:
    """A bucket with the rules of the guide, for small reels."""

    bucket: str

    def settings(self, s3: S3, **callback: str) -> dict[str, object]:
        """Return the settings of a Telecine that processes its uploads."""
        told = {"callback": callback} if callback else {}
        rules = [
            {"bucket": self.bucket, "prefix": "reels/", "pair": True, "data": SMALL, **told},
            {"bucket": self.bucket, "prefix": "orders/", "suffix": ".request.json", "manifest": True},
            {"bucket": self.bucket, "prefix": "notes/", "type": "note", "text": "{key}"},
        ]
        return {
            "storage": "s3",
            "s3_endpoint_url": s3.url,
            "s3_region": s3.region,
            "triggers": json.dumps(rules),
            "output": f"s3://{self.bucket}/results/",
            "callback_secrets": json.dumps({"default": [SECRET]}),
        }


@pytest.fixture
def queue(aws_cli: AwsCli, s3: S3, queue_prefix: str) -> Sqs:
    """Return a queue on ministack."""
    return make_queue(s3, f"{queue_prefix}requests")


def connect(form: str, aws_cli: AwsCli, queue: Sqs, bucket: str, folder: Path) -> None:
    """Connect the bucket to the queue with the commands of the guide."""
    done = guide.run(
        "sh", one_fence("sh", "setup", form), folder, {**aws_cli.environment, "QUEUE_URL": queue.url, "BUCKET": bucket}
    )
    assert done.returncode == 0, done.stderr


def on_sqs(home: Path, s3: S3, queue: Sqs, **settings: object) -> TelecineProcess:
    """Return a Telecine, not started and without a broker, that reads the queue."""
    chosen: dict[str, object] = {
        "sqs_queues": queue.name,
        "sqs_endpoint_url": s3.url,
        "sqs_region": s3.region,
        "sqs_wait_seconds": 1,
    }
    return TelecineProcess(home, notes=True, **(chosen | settings))


def wait_for_only_job(telecine: TelecineProcess, *, door: str) -> Job:
    """Wait for the only job, check that it completed and return it."""
    database = telecine.database()
    try:
        (found,) = wait_until(
            lambda: list_jobs(database), timeout=60, what=lambda: telecine.log.read_text(errors="replace")[-3000:]
        )
    finally:
        database.close()
    job = telecine.wait_for_job(found.id)
    assert (job.state, job.door) == (State.COMPLETED, door), job
    return job


def test_a_picture_a_song_and_lyrics_put_with_the_aws_cli_become_a_reel_and_a_callback(
    aws_cli: AwsCli, s3: S3, bucket: str, queue: Sqs, tmp_path: Path
) -> None:
    connect("sqs", aws_cli, queue, bucket, tmp_path / "setup")
    photo, song = write_photo(tmp_path / "cover.png"), write_wav(tmp_path / "song.wav", 1.0)
    (tmp_path / "words.lrc").write_text("[ti:Song]\n[00:00.10]One two\n[00:00.50]three\n")
    with (
        Receiver() as receiver,
        on_sqs(tmp_path / "home", s3, queue, **Inbox(bucket).settings(s3, url=receiver.url)) as telecine,
    ):
        telecine.start()
        aws_cli("s3", "cp", song, f"s3://{bucket}/reels/Song no. 7 é+%.wav")
        aws_cli("s3", "cp", tmp_path / "words.lrc", f"s3://{bucket}/reels/Song no. 7 é+%.lrc")
        aws_cli("s3", "cp", photo, f"s3://{bucket}/reels/Song no. 7 é+%.png")
        job = wait_for_only_job(telecine, door="sqs")
        assert job.id.startswith("s3-Song-no.-7-")
        objects = objects_below(s3, bucket, f"results/{job.id}/")
        check_finished_once(telecine.database(), job, objects)
        check_callback_once(receiver, job.id, SECRET)
        captions = objects["captions.srt"].decode()
        assert "One two" in captions
        assert "[00:" not in captions
        told = telecine.run("explain", job.id).stdout.decode()
        assert f"for the upload of s3://{bucket}/reels/Song no. 7 é+%" in told.replace("\n", " ")

        # The bucket sends events for the results too, but neither they nor copies of them trigger jobs.
        aws_cli("s3", "cp", f"s3://{bucket}/results/{job.id}/video.mp4", f"s3://{bucket}/notes/copy.mp4")
        aws_cli("s3", "cp", photo, f"s3://{bucket}/notes/last.png")
        database = telecine.database()
        wait_until(lambda: len(list_jobs(database)) == 2)
        wait_until(lambda: queue.counts() == (0, 0))
        wait_until(lambda: uploads.count(database) == 0)
        assert sorted(found.type for found in list_jobs(database)) == ["note", "reel"]
        assert dead_letters.list_newest(database, limit=10) == []
        assert telecine.stop() == 0


@pytest.mark.parametrize("form", ["sns", "eventbridge"])
def test_an_upload_event_from_sns_or_eventbridge_becomes_a_job(
    form: str, aws_cli: AwsCli, s3: S3, bucket: str, queue: Sqs, tmp_path: Path
) -> None:
    connect(form, aws_cli, queue, bucket, tmp_path / "setup")
    with on_sqs(tmp_path / "home", s3, queue, **Inbox(bucket).settings(s3)) as telecine:
        telecine.start()
        (tmp_path / "note").write_text("x")
        aws_cli("s3", "cp", tmp_path / "note", f"s3://{bucket}/notes/a b+é%2B.txt")
        job = wait_for_only_job(telecine, door="sqs")
        assert objects_below(s3, bucket, f"results/{job.id}/")["note.txt"].decode() == "notes/a b+é%2B.txt"
        assert telecine.stop() == 0


def test_an_upload_to_minio_becomes_a_job_through_rabbitmq(
    rabbitmq: RabbitMQ, queue_prefix: str, s3: S3, bucket: str, tmp_path: Path
) -> None:
    queue = f"{queue_prefix}requests"
    key = "orders/ü +b/1.request.json"
    data = {"text": "from a file", "image": "ü/dot.png"}
    request = {"id": "order-1", "type": "note", "data": data}
    Image.new("RGB", (8, 8)).save(tmp_path / "dot.png")
    s3.client().upload_file(str(tmp_path / "dot.png"), bucket, "orders/ü +b/ü/dot.png")
    put = s3.client().put_object(Bucket=bucket, Key=key, Body=json.dumps(request).encode())
    event = notified(key, bucket=bucket, source="minio:s3", etag=put["ETag"].strip('"'))
    with TelecineProcess(
        tmp_path / "home", notes=True, broker_url=rabbitmq.url, amqp_queues=queue, **Inbox(bucket).settings(s3)
    ) as telecine:
        telecine.start()
        wait_until(lambda: rabbitmq.read(queue))
        with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            # Like MinIO: to the exchange, persistent, without a content encoding.
            for _ in range(3):
                channel.basic_publish("telecine.requests", queue, json.dumps(event).encode(), mandatory=True)
            plain = request | {"data": data | {"image": f"s3://{bucket}/orders/ü +b/ü/dot.png"}}
            channel.basic_publish("", queue, json.dumps(plain).encode(), mandatory=True)
        job = wait_for_only_job(telecine, door="amqp")
        database = telecine.database()
        wait_until(lambda: list_jobs(database)[0].duplicates == 3, what=lambda: str(list_jobs(database)))
        assert job.id == "order-1"
        assert dead_letters.list_newest(database, limit=10) == []
        assert telecine.stop() == 0


@pytest.mark.parametrize("s3", ["radosgw"], indirect=True)
def test_an_upload_to_ceph_becomes_a_job_by_cephs_own_event(
    rabbitmq: RabbitMQ, queue_prefix: str, s3: S3, bucket: str, tmp_path: Path
) -> None:
    queue = f"{queue_prefix}requests"
    with TelecineProcess(
        tmp_path / "home", notes=True, broker_url=rabbitmq.url, amqp_queues=queue, **Inbox(bucket).settings(s3)
    ) as telecine:
        telecine.start()
        wait_until(lambda: rabbitmq.read(queue))
        names = {"ENDPOINT": s3.url, "QUEUE": queue, "BUCKET": bucket, "AMQP_URL": f"amqp://127.0.0.1:{rabbitmq.port}"}
        exec(compile(one_fence("python", "ceph"), "ceph.py", "exec"), names)
        s3.client().put_object(Bucket=bucket, Key="notes/a b+é%2B.txt", Body=b"x")
        job = wait_for_only_job(telecine, door="amqp")
        assert objects_below(s3, bucket, f"results/{job.id}/")["note.txt"].decode() == "notes/a b+é%2B.txt"
        database = telecine.database()
        assert (uploads.count(database), dead_letters.list_newest(database, limit=10)) == (0, [])
        assert telecine.stop() == 0
