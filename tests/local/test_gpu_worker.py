"""Real diffusers and transformers pipelines in a GPU worker, from a RabbitMQ message to S3 and the callback."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from consumer.ledger.states import State
from tests.local.catalogue_entries import entries
from tests.local.gpu_deployment import FILM, PICTURE, GpuDeployment
from tests.media_probe import write_photo
from tests.receiver import Receiver
from tests.servers.ministack import Ministack
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import endpoint

GB = 1_000_000_000
#: Two models of which only one fits at a time, and one that never fits.
TIGHT = {"segmind/tiny-sd": 0.6, "stable-diffusion-v1-5": 0.6, "stable-diffusion-xl": 10.0}
STORY = {
    "model": "demo-shapes",
    "hero_description": "a big red circle",
    "scenes": ["at night", "in the snow", "in a city"],
    "num_inference_steps": 10,
    "duration_per_scene": 0.5,
    "fps": 12,
    "width": 128,
    "height": 96,
    "transition_frames": 3,
    "seed": 100,
}


@pytest.fixture(scope="module", name="deployment")
def _line(
    tmp_path_factory: pytest.TempPathFactory,
    weights: Path,
    rabbitmq: RabbitMQ,
    postgres: Postgres,
    ministack: Ministack,
) -> Iterator[GpuDeployment]:
    pictures = {"source": str(weights / "pictures"), "steps": 2}
    tight = [{"id": name, "weights": pictures | {"need_gb": need}} for name, need in TIGHT.items()]
    known = [entry for entry in entries(weights) if entry["id"] not in TIGHT]
    home = tmp_path_factory.mktemp("gpu")
    with Receiver() as receiver:
        s3 = endpoint("ministack", ministack)
        deployment = GpuDeployment(
            home, rabbitmq, postgres, s3, receiver, [*known, *tight], local_memory_bytes=int(0.6 * GB)
        )
        s3.client().upload_file(str(write_photo(home / "fox.png", 96, 64)), deployment.bucket, "in/fox.png")
        with deployment.running():
            deployment.start_worker()
            yield deployment


def frames_of(film: bytes) -> list[Any]:
    """Return all decoded frames of an MP4 file."""
    with av.open(io.BytesIO(film), "r") as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_stable_diffusion_makes_a_picture(deployment: GpuDeployment) -> None:
    files, manifest = deployment.run("picture-1", "text-to-image", {**PICTURE, "seed": 7})
    with Image.open(io.BytesIO(files["image.png"])) as picture:
        assert (picture.size, picture.format) == ((64, 64), "PNG")
    assert (manifest["provider"], manifest["model"], manifest["seed"]) == ("local", "segmind/tiny-sd", 7)
    assert manifest["details"]["pipeline"] == "StableDiffusionPipeline"
    assert deployment.workers("picture-1") == [deployment.worker.pid]


@pytest.mark.parametrize(
    ("model", "kind", "pipeline"),
    [("mochi", "text-to-video", "MochiPipeline"), ("wan", "image-to-video", "WanImageToVideoPipeline")],
)
def test_mochi_and_wan_make_films(deployment: GpuDeployment, model: str, kind: str, pipeline: str) -> None:
    image = {"image": f"s3://{deployment.bucket}/in/fox.png"} if kind == "image-to-video" else {}
    short = {"parameters": {"num_inference_steps": 2}}
    files, manifest = deployment.run(
        f"film-{model}", kind, {**FILM, **image, **short, "model": model, "prompt": "a fox"}
    )
    frames = frames_of(files["video.mp4"])
    assert [frame.shape for frame in frames] == [(256, 256, 3)] * 8
    facts = manifest["artifacts"][0]["facts"]
    assert (facts["frames"], facts["fps"], facts["video_codec"]) == (8, 12.0, "h264")
    assert manifest["details"]["pipeline"] == pipeline


def test_blip_and_clip_describe_a_picture(deployment: GpuDeployment) -> None:
    image = f"s3://{deployment.bucket}/in/fox.png"
    files, manifest = deployment.run("words-1", "image-to-prompt", {"model": "clip-interrogator/local", "image": image})
    words = files["prompt.txt"].decode().strip()
    assert manifest["prompt"] == words
    assert "," in words
    output = deployment.callbacks("words-1")[0]["data"]["outputs"][0]
    assert (output["name"], output["bytes"]) == ("prompt.txt", len(files["prompt.txt"]))


def test_a_story_has_the_frames_that_its_plan_promised_and_fades_from_scene_to_scene(deployment: GpuDeployment) -> None:
    deployment.submit("plan-1", "story-to-video", STORY, plan_only=True)
    deployment.submit("story-1", "story-to-video", STORY)
    frames = [frame.astype(int) for frame in frames_of(deployment.result("story-1")[0]["video.mp4"])]
    deployment.wait_for_end("plan-1")
    plan = deployment.callbacks("plan-1")[0]["data"]["plan"]
    assert len(frames) == plan["frames"] == 3 * 6 + 2 * 3
    for last, middle, first in ((5, 7, 9), (14, 16, 18)):
        assert np.abs(frames[first] - frames[last]).mean() > 20, "both scenes look alike"
        assert np.abs(frames[middle] - (frames[last] + frames[first]) / 2).mean() < 4


def test_the_same_request_and_seed_under_two_ids_give_the_same_frames(deployment: GpuDeployment) -> None:
    explained = {"one": STORY, "two": STORY, "other": {**STORY, "seed": 101}}
    for job_id, data in explained.items():
        deployment.submit(f"seed-{job_id}", "story-to-video", data)
    films = {job_id: frames_of(deployment.result(f"seed-{job_id}")[0]["video.mp4"]) for job_id in explained}
    assert all(np.array_equal(a, b) for a, b in zip(films["one"], films["two"], strict=True))
    assert not np.array_equal(films["one"][0], films["other"][0])


def test_two_models_that_do_not_fit_together_take_turns(deployment: GpuDeployment) -> None:
    for number, model in enumerate(["segmind/tiny-sd", "stable-diffusion-v1-5", "segmind/tiny-sd"]):
        deployment.run(f"turn-{number}", "text-to-image", {**PICTURE, "model": model})
        assert {loaded["model"] for loaded in deployment.loaded()} & TIGHT.keys() == {model}
    system = json.loads(deployment.worker.run("system", "--json").stdout)
    assert (system["device"], system["status"], system["loaded"]) == ("cpu", "degraded", deployment.loaded())


def test_a_model_that_cannot_fit_is_refused_with_the_numbers_and_no_other_is_evicted(deployment: GpuDeployment) -> None:
    deployment.run("small-1", "text-to-image", PICTURE)
    before = deployment.loaded()
    deployment.submit("large-1", "text-to-image", {**PICTURE, "model": "stable-diffusion-xl"})
    large = {**FILM, "num_frames": 64, "width": 720, "height": 720, "model": "mochi", "prompt": "a fox"}
    deployment.submit("large-2", "text-to-video", large)
    for job_id, needs in (("large-1", "stable-diffusion-xl needs ~2.5GB"), ("large-2", r"mochi needs ~\d+\.\dGB")):
        job = deployment.wait_for_end(job_id)
        assert job.error is not None
        assert (job.state, job.error["code"]) == (State.FAILED, "insufficient_vram")
        wanted = rf"Insufficient RAM: {needs}, but only 0\.6GB available\."
        assert re.fullmatch(wanted, job.error["message"]), job.error["message"]
    assert deployment.loaded() == before
