"""Local models from a request to stored results and a verified callback, and through a SIGKILL."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from consumer.intake.inbox import drop
from consumer.ledger.queries import find_job
from consumer.ledger.states import State
from tests.acceptance.line import SECRET, objects_below
from tests.local.entries import entries
from tests.receiver import Receiver
from tests.servers.ministack import Ministack
from tests.servers.s3 import S3, endpoint
from tests.telecine_process import TelecineProcess, wait_until

STORY = {
    "model": "demo-shapes", "hero_description": "a big red circle", "scenes": ["at night", "on a beach", "in a city"],
    "num_inference_steps": 20, "duration_per_scene": 0.5, "fps": 12, "width": 128, "height": 96,
    "transition_frames": 3, "seed": 100,
}  # fmt: skip


@dataclass
class Studio:
    """Telecine with local models, a bucket, and a receiver."""

    telecine: TelecineProcess
    receiver: Receiver
    s3: S3
    bucket: str

    def ask(self, job_id: str, kind: str, **data: Any) -> None:
        request = {"id": job_id, "type": kind, "data": data, "callback": {"url": self.receiver.url}}
        drop(self.telecine.settings.inbox_folder, json.dumps(request).encode())

    def result(self, job_id: str) -> tuple[dict[str, bytes], dict[str, Any]]:
        """The completed job's files and its manifest."""
        job = self.telecine.wait_for_job(job_id, timeout=120)
        assert job.state is State.COMPLETED, job.error
        files = objects_below(self.s3, self.bucket, f"results/{job_id}/")
        return files, json.loads(files["manifest.json"])

    def told(self, job_id: str) -> list[dict[str, Any]]:
        """The callbacks about the job so far."""
        bodies = [attempt.json() for attempt in self.receiver.attempts]
        return [body for body in bodies if body["data"]["id"] == job_id]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, weights: Path, ministack: Ministack) -> Iterator[Studio]:
    s3_server = endpoint("ministack", ministack)
    bucket = f"local-{uuid.uuid4().hex[:12]}"
    s3_server.client().create_bucket(Bucket=bucket)
    telecine = TelecineProcess(
        tmp_path_factory.mktemp("local") / "home", storage="s3", s3_endpoint_url=s3_server.url,
        s3_region=s3_server.region, output=f"s3://{bucket}/results/", models=json.dumps(entries(weights)),
        callback_secrets=json.dumps({"default": [SECRET]}), local_threads=1, local_device="cpu", lease_seconds=3,
    )  # fmt: skip
    telecine.environment |= {**s3_server.environment, "HF_HUB_OFFLINE": "1"}
    with Receiver() as receiver, telecine:
        yield Studio(telecine.start(), receiver, s3_server, bucket)


def test_a_picture_is_stored_and_told_with_its_bytes(studio: Studio) -> None:
    studio.ask(
        "picture-1", "text-to-image", prompt="a big red circle, at night", model="demo-shapes", width=64, height=64,
        seed=100, return_base64=True,
    )  # fmt: skip
    files, manifest = studio.result("picture-1")
    assert (manifest["provider"], manifest["model"], manifest["seed"]) == ("local", "demo-shapes", 100)
    assert manifest["prompt"] == "a big red circle, at night"
    assert manifest["details"]["device"] == "cpu"
    wait_until(lambda: studio.told("picture-1"))
    (body,) = studio.told("picture-1")
    output = body["data"]["outputs"][0]
    assert base64.b64decode(output["base64"]) == files["image.png"]
    assert (output["width"], output["height"], body["data"]["model"]) == (64, 64, "demo-shapes")
    again = studio.telecine.run("explain", "picture-1", "--json").stdout
    assert output["base64"].encode() not in again


def test_a_story_is_killed_in_the_middle_and_finished_once_by_the_next_worker(studio: Studio) -> None:
    database = studio.telecine.database()
    scenes = [f"{place}, {number}" for number in range(12) for place in ("at night", "on a beach", "in a city")]
    studio.ask("story-1", "story-to-video", **{**STORY, "scenes": scenes, "num_inference_steps": 50})
    wait_until(lambda: (job := find_job(database, "story-1")) is not None and 10 < job.progress < 90, timeout=120)
    studio.telecine.kill()
    studio.telecine.start()
    files, manifest = studio.result("story-1")
    database.close()
    frames = 36 * 6 + 35 * 3
    assert set(files) == {"video.mp4", "manifest.json"}
    assert manifest["artifacts"][0]["facts"]["frames"] == frames
    wait_until(lambda: studio.told("story-1"))
    assert [body["type"] for body in studio.told("story-1")] == ["job.completed"]
    job = studio.telecine.wait_for_job("story-1")
    assert job.crashes == 1


def test_a_film_a_description_and_a_refusal(studio: Studio) -> None:
    film = {"num_frames": 8, "width": 256, "height": 256, "parameters": {"num_inference_steps": 2}}
    studio.ask("film-1", "text-to-video", model="mochi", prompt="a fox", lawful_use_consent=True, **film)
    files, manifest = studio.result("film-1")
    assert (manifest["model"], manifest["details"]["backend"]) == ("mochi", "mochi")
    assert isinstance(manifest["seed"], int)
    assert manifest["artifacts"][0]["facts"]["frames"] == 8
    picture = f"s3://{studio.bucket}/results/picture-1/image.png"
    studio.ask("words-1", "image-to-prompt", model="demo-captioner", image=picture)
    files, manifest = studio.result("words-1")
    assert "red" in files["prompt.txt"].decode()
    assert "at night" in manifest["prompt"]
    studio.ask("film-2", "text-to-video", model="opensora", prompt="a fox", lawful_use_consent=True, **film)
    job = studio.telecine.wait_for_job("film-2")
    assert job.state is State.FAILED
    assert job.error is not None
    assert job.error["code"] == "model_not_installed"
    assert "hf download" in job.error["message"]
