"""The job types of the catalogue's models, from request to stored results, with doubles of the providers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from consumer.doors.drop import drop
from consumer.ledger.dead_letters import list_newest
from consumer.ledger.records import Job
from consumer.ledger.states import State
from tests.acceptance.line import objects_below, upload_media
from tests.doubles.elevenlabs import ElevenLabs
from tests.doubles.pika import Pika
from tests.doubles.replicate import Replicate
from tests.servers.ministack import Ministack
from tests.servers.s3 import S3, endpoint
from tests.telecine_process import TelecineProcess, wait_until

LYRICS = "one two three four\nfive six seven eight"
LOOK = {"width": 270, "height": 480, "font_size": 80}
QUICK = [
    {"id": "pika", "first_wait_seconds": 0.3, "poll_seconds": 0.3, "price": "0.20"},
    {"id": "clip-interrogator", "first_wait_seconds": 0.2, "poll_seconds": 0.2, "price": "0.01"},
    {"id": "forced-alignment", "price": "0.001", "price_per": "second"},
]


@dataclass
class Deployment:
    """Telecine, the doubles of three providers, and a bucket."""

    telecine: TelecineProcess
    pika: Pika
    replicate: Replicate
    elevenlabs: ElevenLabs
    s3: S3
    bucket: str
    media: dict[str, str]

    def ask(self, job_id: str, kind: str, **data: Any) -> None:
        request = {"id": job_id, "type": kind, "data": data}
        drop(self.telecine.settings.inbox_folder, json.dumps(request).encode())

    def result(self, job_id: str) -> tuple[Job, dict[str, bytes], dict[str, Any]]:
        """Wait for a job and check that it completed; return it with its files and its manifest."""
        job = self.telecine.wait_for_job(job_id)
        assert job.state is State.COMPLETED, job.error
        files = objects_below(self.s3, self.bucket, f"results/{job_id}/")
        return job, files, json.loads(files["manifest.json"])


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, ministack: Ministack) -> Iterator[Deployment]:
    s3_server = endpoint("ministack", ministack)
    folder = tmp_path_factory.mktemp("deployment")
    bucket = f"deployment-{uuid.uuid4().hex[:12]}"
    s3_server.client().create_bucket(Bucket=bucket)
    telecine = TelecineProcess(
        folder / "home",
        storage="s3",
        s3_endpoint_url=s3_server.url,
        s3_region=s3_server.region,
        output=f"s3://{bucket}/results/",
        models=json.dumps(QUICK),
    )
    with Pika() as pika, Replicate() as replicate, ElevenLabs() as elevenlabs:
        telecine.environment |= {
            **s3_server.environment,
            "PIKAPI_BASE_URL": pika.url,
            "PIKAPI_BEARER_TOKEN": pika.key,
            "INITIAL_WAIT_TIME": "1",
            "MAX_CHECK_TIME": "60",
            "REPLICATE_BASE_URL": replicate.url,
            "REPLICATE_API_TOKEN": replicate.key,
            "ELEVENLABS_BASE_URL": elevenlabs.url,
            "ELEVENLABS_API_KEY": elevenlabs.key,
        }
        media = upload_media(s3_server, bucket, folder / "media", seconds=6.0)
        with telecine:
            yield Deployment(telecine.start(), pika, replicate, elevenlabs, s3_server, bucket, media)


def test_an_image_alone_becomes_a_film_with_a_written_prompt(deployment: Deployment) -> None:
    deployment.ask("i2v-1", "image-to-video", image_id=deployment.media["image"].replace("/", "&#x2F;"))
    _, files, manifest = deployment.result("i2v-1")
    assert set(files) == {"video.mp4", "manifest.json"}
    (task,) = deployment.pika.tasks.values()
    assert (manifest["provider"], manifest["model"], manifest["prompt"]) == ("pika", "pika", task.asked["promptText"])
    assert len(manifest["prompt"]) > 10
    assert manifest["cost"] == {"amount": "0.21", "currency": "USD"}
    facts = manifest["artifacts"][0]["facts"]
    assert (facts["frames"], facts["fps"], facts["video_codec"]) == (24, 24.0, "h264")
    assert (deployment.pika.charges(), deployment.replicate.charges()) == (1, 1)


def test_a_reel_is_aligned_by_the_provider_and_rendered_locally(deployment: Deployment) -> None:
    before = deployment.elevenlabs.charges()
    deployment.ask("reel-1", "reel", **deployment.media, **LOOK, lyrics=LYRICS)
    _, files, manifest = deployment.result("reel-1")
    assert set(files) == {
        "video.mp4",
        "captions.srt",
        "captions.vtt",
        "captions.lrc",
        "captions.ass",
        "words.json",
        "cover.jpg",
        "manifest.json",
    }
    assert (manifest["provider"], manifest["model"]) == ("local", "reel")
    assert manifest["details"]["alignment"] == {"mode": "auto", "used": "forced_alignment"}
    assert manifest["cost"]["amount"] == "0.006"
    words = json.loads(files["words.json"])
    assert [word["text"] for word in words["words"]] == LYRICS.split()
    assert all(word["heard"] for word in words["words"])
    assert deployment.elevenlabs.charges() == before + 1


def test_captions_are_written_from_recognised_words(deployment: Deployment) -> None:
    deployment.ask("captions-1", "audio-to-captions", audio=deployment.media["audio"], alignment_mode="elevenlabs")
    _, files, manifest = deployment.result("captions-1")
    assert set(files) == {"captions.srt", "captions.vtt", "captions.lrc", "captions.ass", "words.json", "manifest.json"}
    heard = [word["text"] for word in json.loads(files["words.json"])["words"]]
    assert " ".join(heard) == deployment.elevenlabs.transcript
    assert (manifest["provider"], manifest["model"]) == ("elevenlabs", "scribe")


def test_a_picture_is_described(deployment: Deployment) -> None:
    deployment.ask("prompt-1", "image-to-prompt", image=deployment.media["image"], mode="fast")
    _, files, manifest = deployment.result("prompt-1")
    assert set(files) == {"prompt.txt", "manifest.json"}
    assert files["prompt.txt"].decode().strip() == manifest["prompt"]
    assert manifest["model"] == "clip-interrogator"


def test_a_request_that_no_model_supports_is_not_admitted(deployment: Deployment) -> None:
    deployment.ask("refused-1", "text-to-video", model="pika", prompt="x")
    deployment.ask(
        "refused-2", "image-to-video", image=deployment.media["image"], model="wan25fast", prompt="x", duration=6
    )
    database = deployment.telecine.database()
    try:
        wait_until(lambda: len(list_newest(database, limit=10)) == 2)
        reasons = {item.request_id: item for item in list_newest(database, limit=10)}
    finally:
        database.close()
    assert reasons["refused-1"].code == "unknown_model"
    assert reasons["refused-2"].message == "data.duration: must be one of 5, 10 for wan25fast"


def test_the_error_names_a_provider_without_a_key(deployment: Deployment) -> None:
    deployment.ask("unconfigured-1", "text-to-video", model="imagine-text-to-video", prompt="x", is_enhance=True)
    job = deployment.telecine.wait_for_job("unconfigured-1")
    assert job.error is not None
    assert job.error["code"] == "provider_not_configured"
