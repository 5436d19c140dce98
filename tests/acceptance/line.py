"""Helpers for end-to-end tests: Telecine with a broker and S3, media, and a producer in another language."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.media_probe import write_photo, write_wav
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import S3
from tests.telecine_process import TelecineProcess, wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NODE = Path(__file__).resolve().parent.parent / "node"


def telecine_with(
    home: Path, rabbitmq: RabbitMQ, queue: str, s3: S3, bucket: str, **settings: object
) -> TelecineProcess:
    """Return a Telecine, not started, that reads ``queue`` and stores results under ``s3://bucket/results/``."""
    return TelecineProcess(
        home,
        notes=True,
        broker_url=rabbitmq.url,
        amqp_queues=queue,
        storage="s3",
        s3_endpoint_url=s3.url,
        s3_region=s3.region,
        output=f"s3://{bucket}/results/",
        callback_secrets=json.dumps({"default": [SECRET]}),
        **settings,
    )


def publish_with_node(rabbitmq: RabbitMQ, queue: str, requests: Sequence[Mapping[str, Any]]) -> None:
    """Publish each request as plain JSON with Node's amqplib, and wait for the confirms."""
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    wait_until(lambda: queue in rabbitmq.ctl("list_queues", "name").split())
    done = subprocess.run(
        ["node", "publish.mjs", rabbitmq.url, queue], cwd=NODE, input=lines.encode(), capture_output=True, timeout=90
    )
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) == len(requests)


def upload_media(s3: S3, bucket: str, folder: Path, *, seconds: float) -> dict[str, str]:
    """Upload a photo and a song of ``seconds``; return the ``image`` and ``audio`` of a reel's data."""
    folder.mkdir(parents=True, exist_ok=True)
    client = s3.client()
    client.upload_file(str(write_photo(folder / "cover.png")), bucket, "in/cover.png")
    client.upload_file(str(write_wav(folder / "song.wav", seconds)), bucket, "in/song.wav")
    return {"image": f"s3://{bucket}/in/cover.png", "audio": f"s3://{bucket}/in/song.wav"}


def objects_below(s3: S3, bucket: str, prefix: str) -> dict[str, bytes]:
    """Return all objects under a prefix, by their name without the prefix."""
    client = s3.client()
    found = client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {
        item["Key"].removeprefix(prefix): client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
        for item in found
    }
