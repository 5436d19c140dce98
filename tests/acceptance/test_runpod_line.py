"""A reel rendered on RunPod, from the request through RunPod's own worker loop to the stored result."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest

from consumer.doors.drop import drop
from consumer.ledger.states import State
from pipelines.models.local_reel import render_reel
from schemas.reel import Reel
from tests.acceptance.line import objects_below, upload_media
from tests.doubles.runpod import RunPod
from tests.media_probe import input_file, processes_naming, write_wav
from tests.receiver import Receiver
from tests.servers.runpod_worker import RunpodWorker
from tests.servers.s3 import S3
from tests.telecine_process import TelecineProcess, wait_until

SECONDS = 8.0
LOOK = {"width": 270, "height": 480, "font_size": 80, "alignment_mode": "even", "words_per_group": 2}
LYRICS = "one two three four\nfive six seven eight"


@dataclass
class Site:
    """Telecine, an endpoint with one real worker, and a bucket that both use."""

    telecine: TelecineProcess
    runpod: RunPod
    worker: RunpodWorker
    s3: S3
    bucket: str
    media: dict[str, str]

    def ask(self, job_id: str, **fields: Any) -> None:
        data = {**self.media, **LOOK, "lyrics": LYRICS, "renderer": "runpod", **fields.pop("data", {})}
        request = {"id": job_id, "type": "reel", "data": data, **fields}
        drop(self.telecine.settings.inbox_folder, json.dumps(request).encode())


@pytest.fixture
def site(tmp_path: Path, s3: S3, bucket: str) -> Iterator[Site]:
    place = {
        "TELECINE_STORAGE": "s3",
        "TELECINE_S3_ENDPOINT_URL": s3.url,
        "TELECINE_S3_REGION": s3.region,
        "TELECINE_ALLOWED_PRIVATE_HOSTS": "127.0.0.1",
        **s3.environment,
    }
    quick = [{"id": "runpod-reel", "first_wait_seconds": 0.3, "poll_seconds": 0.3}]
    with RunPod(worker=True) as runpod:
        endpoint = {**place, **runpod.worker_environment, "TELECINE_OUTPUT": f"s3://{bucket}/films/"}
        telecine = TelecineProcess(tmp_path / "home", output=f"s3://{bucket}/results/", models=json.dumps(quick))
        telecine.environment |= place | {
            "RUNPOD_API_KEY": runpod.key,
            "RUNPOD_ENDPOINT_ID": runpod.endpoint,
            "RUNPOD_ENDPOINT_BASE_URL": runpod.base_url,
        }
        media = upload_media(s3, bucket, tmp_path / "media", seconds=SECONDS)
        with telecine, RunpodWorker(tmp_path / "worker", endpoint) as worker:
            yield Site(telecine.start(), runpod, worker, s3, bucket, media)


def test_the_reel_is_the_same_as_one_that_is_rendered_locally(site: Site, tmp_path: Path) -> None:
    with Receiver() as receiver:
        site.ask("order-1", callback={"url": receiver.url})
        job = site.telecine.wait_for_job("order-1", timeout=90)
        told = receiver.wait_for(1)[0].json()["data"]
    assert job.state is State.COMPLETED, job.error
    found = objects_below(site.s3, site.bucket, "results/order-1/")
    texts = {"captions.srt", "captions.vtt", "captions.lrc", "captions.ass", "manifest.json"}
    assert set(found) == {"video.mp4", "cover.jpg", *texts}
    with av.open(io.BytesIO(found["video.mp4"]), "r") as film:
        assert len(list(film.decode(video=0))) == round(SECONDS * 30)
    here = tmp_path / "here"
    here.mkdir()
    data = Reel.model_validate({**site.media, **LOOK, "lyrics": LYRICS})
    image, audio = (input_file(tmp_path / "media" / name, name) for name in ("cover.png", "song.wav"))
    for artifact in render_reel(data, image, audio, here):
        assert artifact.path.read_bytes() == found[artifact.name]
    assert (told["provider"], told["model"], told["outputs"][0]["frames"]) == ("runpod", "runpod-reel", 240)
    (task,) = site.runpod.tasks.values()
    assert site.runpod.charges() == 1
    assert len(json.dumps(task.asked)) < 10_000
    assert site.runpod.posted[task.id][-1]["state"] == "COMPLETED"
    assert "X-Amz" not in site.worker.log.read_text()
    # The worker stored it under the call's key, with the tag by which triggers recognise Telecine's own files.
    (name,) = objects_below(site.s3, site.bucket, "films/")
    assert name == f"{task.ref}/video.mp4"
    tags = site.s3.client().get_object_tagging(Bucket=site.bucket, Key=f"films/{name}")["TagSet"]
    assert {"Key": "telecine", "Value": "1"} in tags


def test_a_song_that_cannot_be_decoded_fails_without_a_traceback(site: Site, tmp_path: Path) -> None:
    broken = (tmp_path / "media" / "song.wav").read_bytes()[:36] + b"junk" * 20
    site.s3.client().put_object(Bucket=site.bucket, Key="in/broken.wav", Body=broken)
    site.ask("order-2", data={"audio": f"s3://{site.bucket}/in/broken.wav"})
    job = site.telecine.wait_for_job("order-2")
    assert job.error is not None
    assert job.error["code"] == "provider_task_failed"
    assert "the audio is truncated" in job.error["message"]
    assert "Traceback" not in json.dumps(job.error)
    (task,) = site.runpod.tasks.values()
    assert site.runpod.posted[task.id][-1]["state"] == "FAILED"


def test_a_cancelled_job_stops_the_worker_at_runpod(site: Site, tmp_path: Path) -> None:
    long = write_wav(tmp_path / "long.wav", 900.0, rate=8_000)
    site.s3.client().upload_file(str(long), site.bucket, "in/long.wav")
    look = {"width": 2160, "height": 3840, "style": "pop", "lyrics": "one two\n" * 1250}
    site.ask("order-3", data={"audio": f"s3://{site.bucket}/in/long.wav", **look})
    wait_until(lambda: any(site.runpod.posted.values()), what=lambda: site.worker.log.read_text()[-2000:])
    site.telecine.run("cancel", "order-3")
    assert site.telecine.wait_for_job("order-3").state is State.CANCELLED
    (task,) = site.runpod.tasks.values()
    wait_until(lambda: task.cancelled)
    # The worker is free again and has discarded the other film.
    site.ask("order-4")
    assert site.telecine.wait_for_job("order-4").state is State.COMPLETED
    assert {post["state"] for post in site.runpod.posted[task.id]} == {"IN_PROGRESS"}
    wait_until(lambda: processes_naming(f"{tmp_path}/worker/telecine-runpod-") == [])
