"""Local models in embedded mode: from request to stored results and a verified callback, and through crashes."""

from __future__ import annotations

import base64
import contextlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from consumer.doors.drop import drop
from consumer.ledger.queries import find_job
from consumer.ledger.states import State
from tests.acceptance.line import SECRET, objects_below, upload_media
from tests.chaos.evidence import check_callback_once, check_finished_once
from tests.local.catalogue_entries import entries
from tests.receiver import Receiver
from tests.servers.ministack import Ministack
from tests.servers.s3 import S3, endpoint
from tests.telecine_process import TelecineProcess, wait_until

STORY = {
    "model": "demo-shapes",
    "hero_description": "a big red circle",
    "scenes": ["at night", "on a beach", "in a city"],
    "num_inference_steps": 20,
    "duration_per_scene": 0.5,
    "fps": 12,
    "width": 128,
    "height": 96,
    "transition_frames": 3,
    "seed": 100,
}


@dataclass
class EmbeddedDeployment:
    """Telecine with local models, a bucket and a callback receiver."""

    telecine: TelecineProcess
    receiver: Receiver
    s3: S3
    bucket: str
    #: Arms the failpoint it names, as long as the file exists.
    armed: Path

    def submit(self, job_id: str, kind: str, **data: Any) -> None:
        request = {"id": job_id, "type": kind, "data": data, "callback": {"url": self.receiver.url}}
        drop(self.telecine.settings.inbox_folder, json.dumps(request).encode())

    def result(self, job_id: str) -> tuple[dict[str, bytes], dict[str, Any]]:
        """Return files and manifest of the job; check that it completed once with one correctly signed callback."""
        job = self.telecine.wait_for_job(job_id, timeout=120)
        files = objects_below(self.s3, self.bucket, f"results/{job_id}/")
        with contextlib.closing(self.telecine.database()) as database:
            check_finished_once(database, job, files)
        wait_until(lambda: self.callbacks(job_id), what=lambda: f"no callback about {job_id}")
        check_callback_once(self.receiver, job_id, SECRET)
        return files, json.loads(files["manifest.json"])

    def start_slowly(self, job_id: str, kind: str, **data: Any) -> None:
        """Start a job whose model waits after each step until ``armed`` is removed."""
        self.armed.write_text("local.step:sleep=2")
        self.submit(job_id, kind, **data)
        with contextlib.closing(self.telecine.database()) as database:
            wait_until(lambda: (job := find_job(database, job_id)) is not None and job.progress > 5)

    def callbacks(self, job_id: str) -> list[dict[str, Any]]:
        """Return the callbacks received about the job."""
        bodies = [attempt.json() for attempt in self.receiver.attempts]
        return [body for body in bodies if body["data"]["id"] == job_id]


@pytest.fixture(scope="module", name="rooms")
def _rooms(
    tmp_path_factory: pytest.TempPathFactory, weights: Path, ministack: Ministack
) -> Iterator[EmbeddedDeployment]:
    s3_server = endpoint("ministack", ministack)
    bucket = f"local-{uuid.uuid4().hex[:12]}"
    s3_server.client().create_bucket(Bucket=bucket)
    home = tmp_path_factory.mktemp("local")
    telecine = TelecineProcess(
        home / "home",
        storage="s3",
        s3_endpoint_url=s3_server.url,
        s3_region=s3_server.region,
        output=f"s3://{bucket}/results/",
        models=json.dumps(entries(weights)),
        callback_secrets=json.dumps({"default": [SECRET]}),
        local_threads=1,
        local_device="cpu",
        failpoint_file=home / "armed",
    )
    telecine.environment |= {**s3_server.environment, "HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with Receiver() as receiver, telecine:
        yield EmbeddedDeployment(telecine, receiver, s3_server, bucket, home / "armed")


@pytest.fixture
def deployment(rooms: EmbeddedDeployment) -> Iterator[EmbeddedDeployment]:
    """Return a running deployment with no armed failpoint."""
    if not rooms.telecine.running:
        rooms.telecine.start()
    yield rooms
    rooms.armed.unlink(missing_ok=True)


def test_an_image_is_stored_and_delivered_with_its_bytes(deployment: EmbeddedDeployment) -> None:
    deployment.submit(
        "picture-1",
        "text-to-image",
        prompt="a big red circle, at night",
        model="demo-shapes",
        width=64,
        height=64,
        seed=100,
        return_base64=True,
    )
    files, manifest = deployment.result("picture-1")
    assert (manifest["provider"], manifest["model"], manifest["seed"]) == ("local", "demo-shapes", 100)
    assert manifest["prompt"] == "a big red circle, at night"
    assert manifest["details"]["device"] == "cpu"
    wait_until(lambda: deployment.callbacks("picture-1"))
    (body,) = deployment.callbacks("picture-1")
    output = body["data"]["outputs"][0]
    assert base64.b64decode(output["base64"]) == files["image.png"]
    assert "base64_omitted" not in output
    assert (output["width"], output["height"], body["data"]["model"]) == (64, 64, "demo-shapes")
    again = deployment.telecine.run("explain", "picture-1", "--json").stdout
    assert output["base64"].encode() not in again


def test_m2_a_callback_says_why_a_picture_of_more_than_a_mebibyte_is_not_in_it(deployment: EmbeddedDeployment) -> None:
    deployment.submit(
        "large-1", "text-to-image", prompt="a fox", width=1024, height=768, num_inference_steps=10, return_base64=True
    )
    files, _ = deployment.result("large-1")
    assert len(files["image.png"]) > 1024 * 1024
    output = deployment.callbacks("large-1")[0]["data"]["outputs"][0]
    assert (output["bytes"], "base64" in output) == (len(files["image.png"]), False)
    size = f"{len(files['image.png']):,}"
    reason = f"the file has {size} bytes; a callback contains at most 1,048,576. Fetch it from `url`."
    assert output["base64_omitted"] == reason
    shown = json.loads(deployment.telecine.run("status", "large-1", "--json").stdout)["outputs"]
    assert [item.get("base64_omitted") for item in shown] == [reason, None]


def test_a_reel_is_made_while_a_story_is(deployment: EmbeddedDeployment, tmp_path: Path) -> None:
    media = upload_media(deployment.s3, deployment.bucket, tmp_path, seconds=1.0)
    deployment.start_slowly("story-1", "story-to-video", **STORY)
    deployment.submit("reel-1", "reel", **media, lyrics="One two", alignment_mode="even", width=270, height=480)
    files, _ = deployment.result("reel-1")
    assert "video.mp4" in files
    with contextlib.closing(deployment.telecine.database()) as database:
        story = find_job(database, "story-1")
    assert story is not None
    assert story.state is State.RUNNING
    deployment.armed.unlink()
    _, manifest = deployment.result("story-1")
    assert manifest["artifacts"][0]["facts"]["frames"] == 3 * 6 + 2 * 3


def test_a_story_is_killed_in_the_middle_and_finished_once_by_the_next_worker(deployment: EmbeddedDeployment) -> None:
    deployment.start_slowly("story-2", "story-to-video", **STORY)
    deployment.telecine.kill()
    deployment.armed.unlink()
    deployment.telecine.start()
    files, manifest = deployment.result("story-2")
    assert set(files) == {"video.mp4", "manifest.json"}
    assert manifest["artifacts"][0]["facts"]["frames"] == 3 * 6 + 2 * 3
    assert deployment.telecine.wait_for_job("story-2").crashes == 1


def test_a_description_and_a_refusal(deployment: EmbeddedDeployment) -> None:
    drawn = {"prompt": "a big red circle, at night", "model": "demo-shapes", "width": 64, "height": 64, "seed": 100}
    deployment.submit("picture-2", "text-to-image", **drawn)
    deployment.result("picture-2")
    picture = f"s3://{deployment.bucket}/results/picture-2/image.png"
    deployment.submit("words-1", "image-to-prompt", model="demo-captioner", image=picture)
    files, manifest = deployment.result("words-1")
    assert "red" in files["prompt.txt"].decode()
    assert "at night" in manifest["prompt"]
    film = {"num_frames": 8, "width": 256, "height": 256, "lawful_use_consent": True}
    deployment.submit("film-1", "text-to-video", model="ltx", prompt="a fox", **film)
    job = deployment.telecine.wait_for_job("film-1")
    assert job.state is State.FAILED
    assert job.error is not None
    assert job.error["code"] == "model_not_installed"
    assert "telecine models pull ltx" in job.error["message"]


def test_a_story_that_outlasts_the_grace_of_a_stop_is_given_back_and_no_crash_is_counted(
    deployment: EmbeddedDeployment,
) -> None:
    deployment.start_slowly("story-3", "story-to-video", **STORY)
    with contextlib.closing(deployment.telecine.database()) as database:
        assert deployment.telecine.stop() == 0
        job = find_job(database, "story-3")
    assert job is not None
    assert (job.state, job.crashes, job.lease_owner) == (State.WAITING, 0, None)
