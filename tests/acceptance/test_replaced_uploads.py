"""Uploads that are replaced while their jobs wait: each result uses the object that its event named."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from consumer.ledger import dead_letters
from consumer.ledger.queries import list_jobs
from consumer.ledger.records import Job
from consumer.ledger.states import State
from tests.acceptance.line import objects_below
from tests.acceptance.test_triggers import connect, on_sqs
from tests.media_probe import frames_of, write_wav
from tests.servers.aws_cli import AwsCli
from tests.servers.s3 import S3
from tests.servers.sqs import make_queue
from tests.telecine_process import TelecineProcess, wait_until

RED, BLUE = (200, 30, 30), (30, 30, 200)
KEY = "covers/Song no. 7 é+%.png"


def picture(colour: tuple[int, int, int]) -> bytes:
    """Return a picture of a single colour."""
    into = io.BytesIO()
    Image.new("RGB", (270, 480), colour).save(into, "PNG")
    return into.getvalue()


def colour_of(film: bytes, folder: Path) -> tuple[int, ...]:
    """Return the colour in the corner of the first frame, rounded to tens."""
    path = folder / "film.mp4"
    path.write_bytes(film)
    _, _, pixels = next(frames_of(path))
    return tuple(round(int(value), -1) for value in pixels[4, 4])


@pytest.fixture
def telecine(aws_cli: AwsCli, s3: S3, bucket: str, queue_prefix: str, tmp_path: Path) -> Iterator[TelecineProcess]:
    """Yield Telecine with a rule that makes a reel of every cover; the job ``hold`` occupies its only worker."""
    queue = make_queue(s3, f"{queue_prefix}requests")
    connect("sqs", aws_cli, queue, bucket, tmp_path / "setup")
    s3.client().upload_file(str(write_wav(tmp_path / "song.wav", 1.0)), bucket, "song.wav")
    reel = {"alignment_mode": "even", "width": 270, "height": 480, "lyrics": "La"}
    rule = {
        "bucket": bucket,
        "prefix": "covers/",
        "type": "reel",
        "image": "{uri}",
        "audio": f"s3://{bucket}/song.wav",
        "data": reel,
    }
    settings = {
        "storage": "s3",
        "s3_endpoint_url": s3.url,
        "s3_region": s3.region,
        "triggers": json.dumps([rule]),
        "output": f"s3://{bucket}/results/",
        "concurrency": 1,
    }
    with on_sqs(tmp_path / "home", s3, queue, **settings) as made:
        made.start()
        made.submit({"id": "hold", "type": "note", "data": {"seconds": 300}})
        database = made.database()
        wait_until(lambda: any(job.state is State.RUNNING for job in list_jobs(database)))
        database.close()
        yield made
        assert made.stop() == 0


def upload_twice(telecine: TelecineProcess, s3: S3, bucket: str) -> list[Job]:
    """Upload a red cover and then a blue one; return their jobs, which still wait."""
    database = telecine.database()

    def jobs() -> list[Job]:
        return sorted((job for job in list_jobs(database) if job.id != "hold"), key=lambda job: job.received_at)

    try:
        s3.client().put_object(Bucket=bucket, Key=KEY, Body=picture(RED))
        wait_until(lambda: len(jobs()) == 1, timeout=60, what=lambda: str(jobs()))
        s3.client().put_object(Bucket=bucket, Key=KEY, Body=picture(BLUE))
        wait_until(lambda: len(jobs()) == 2, timeout=60, what=lambda: str(jobs()))
        assert [job.state for job in jobs()] == [State.RECEIVED, State.RECEIVED]
        return jobs()
    finally:
        database.close()


def test_in_a_bucket_with_versions_each_upload_becomes_a_film_of_its_own(
    telecine: TelecineProcess, s3: S3, bucket: str, tmp_path: Path
) -> None:
    s3.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first, second = upload_twice(telecine, s3, bucket)
    s3.client().delete_object(Bucket=bucket, Key=KEY)  # older versions remain below the delete marker
    telecine.run("cancel", "hold")
    for job, colour in ((first, RED), (second, BLUE)):
        ended = telecine.wait_for_job(job.id)
        assert ended.state is State.COMPLETED, ended.error
        assert colour_of(objects_below(s3, bucket, f"results/{job.id}/")["video.mp4"], tmp_path) == colour


def test_in_a_bucket_without_versions_the_older_job_fails_and_the_newer_one_becomes_a_film(
    telecine: TelecineProcess, s3: S3, bucket: str, tmp_path: Path
) -> None:
    first, second = upload_twice(telecine, s3, bucket)
    telecine.run("cancel", "hold")
    older, newer = telecine.wait_for_job(first.id), telecine.wait_for_job(second.id)
    assert (older.state, (older.error or {})["code"]) == (State.FAILED, "input_replaced")
    assert f"s3://{bucket}/{KEY} was replaced" in (older.error or {})["message"]
    assert objects_below(s3, bucket, f"results/{first.id}/") == {}
    assert newer.state is State.COMPLETED, newer.error
    assert colour_of(objects_below(s3, bucket, f"results/{second.id}/")["video.mp4"], tmp_path) == BLUE
    database = telecine.database()
    assert dead_letters.list_newest(database, limit=10) == []
    database.close()
