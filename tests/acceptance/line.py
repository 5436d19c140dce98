"""What the tests of the whole line share: Telecine with a broker and S3, a song, a producer in another language."""

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
    """A Telecine that reads ``queue`` and stores below ``s3://bucket/results/``. Not started."""
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
    """Node's amqplib puts each request on the queue as plain JSON, and waits for the confirms."""
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    wait_until(lambda: queue in rabbitmq.ctl("list_queues", "name").split())
    done = subprocess.run(
        ["node", "publish.mjs", rabbitmq.url, queue], cwd=NODE, input=lines.encode(), capture_output=True, timeout=90
    )
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) == len(requests)


def upload_media(s3: S3, bucket: str, folder: Path, *, seconds: float) -> dict[str, str]:
    """A photo and a song of ``seconds``, uploaded; answers ``image`` and ``audio`` of a reel's data."""
    folder.mkdir(parents=True, exist_ok=True)
    client = s3.client()
    client.upload_file(str(write_photo(folder / "cover.png")), bucket, "in/cover.png")
    client.upload_file(str(write_wav(folder / "song.wav", seconds)), bucket, "in/song.wav")
    return {"image": f"s3://{bucket}/in/cover.png", "audio": f"s3://{bucket}/in/song.wav"}


def objects_below(s3: S3, bucket: str, prefix: str) -> dict[str, bytes]:
    """Every object below a prefix: name without the prefix, and bytes."""
    client = s3.client()
    found = client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {
        item["Key"].removeprefix(prefix): client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
        for item in found
    }
