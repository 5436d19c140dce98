"""The job types on local models, with an in-memory context: real pipelines with tiny random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from pipelines.media.silent_film import crossfade
from pipelines.memory_context import MemoryContext
from pipelines.registry import PIPELINES
from providers.local.device import Cpu
from providers.local.host import ModelHost
from providers.weights import GB
from schemas.envelope import Request
from schemas.errors import (
    InsufficientVram,
    InvalidAudio,
    InvalidImage,
    ModelNotInstalled,
    ProviderNotConfigured,
    RequestError,
    UnsupportedOption,
)
from schemas.media import StoredArtifact
from schemas.parse import parse_request
from tests.local.catalogue_entries import catalogue
from tests.media_probe import sound_of, write_wav

IMAGE = "s3://inbox/fox.png"
FILM: dict[str, Any] = {"num_frames": 8, "width": 256, "height": 256, "lawful_use_consent": True}
SHORT = {"parameters": {"num_inference_steps": 2}}


class Stage:
    """One job on local models."""

    def __init__(self, folder: Path, weights: Path, host: ModelHost, kind: str, **options: Any) -> None:
        self.kind = kind
        Image.new("RGB", (96, 64), "orange").save(folder / "fox.png")
        self.context = MemoryContext(
            folder, kind, {IMAGE: folder / "fox.png"}, catalogue(weights), host=host, seed=4_000_000_001, **options
        )

    def data(self, **data: Any) -> Any:
        request = parse_request(json.dumps({"id": "a", "type": self.kind, "data": data}).encode())
        assert isinstance(request, Request)
        PIPELINES[self.kind].check(request.data, self.kind, self.context.catalogue)
        return request.data

    def run(self, **data: Any) -> list[StoredArtifact]:
        return list(PIPELINES[self.kind].run(self.data(**data), self.context))

    def refusal(self, **data: Any) -> RequestError:
        with pytest.raises(RequestError) as caught:
            self.run(**data)
        return caught.value


def frames_of(path: Path) -> list[Any]:
    """Return all frames of a video, in RGB."""
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def test_a_text_becomes_a_picture_of_the_size_asked_for(tmp_path: Path, weights: Path, host: ModelHost) -> None:
    stage = Stage(tmp_path, weights, host, "text-to-image")
    (made,) = stage.run(prompt="a fox", num_inference_steps=10, width=72, height=48, seed=5, return_base64=True)
    with Image.open(tmp_path / "image.png") as picture:
        assert (picture.size, picture.format) == ((72, 48), "PNG")
    assert (made.facts.width, made.facts.height, made.inline) == (72, 48, True)
    details = stage.context.manifest_details
    assert (details["prompt"], details["model"], details["seed"], details["num_inference_steps"]) == (
        "a fox",
        "segmind/tiny-sd",
        5,
        10,
    )
    assert details["device"] == "cpu"
    assert stage.context.reported[-1] == 1.0


def test_a_job_without_a_seed_has_one_of_its_own(tmp_path: Path, weights: Path, host: ModelHost) -> None:
    stage = Stage(tmp_path, weights, host, "text-to-image")
    stage.run(prompt="a fox", num_inference_steps=10, width=64, height=64)
    assert stage.context.manifest_details["seed"] == 4_000_000_001


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("num_inference_steps", 9, "must be at least 10"),
        ("num_inference_steps", 51, "must be at most 50"),
        ("width", 100, "multiple of 8"),
        ("height", 4096, "must be at most 2048"),
        ("prompt", "", "must not be empty"),
        ("seed", -1, "must be at least 0"),
        ("seed", 2**32, "from 0 to 4"),
        ("model", "dall-e", "does not exist"),
    ],
)
def test_what_a_picture_cannot_be_is_refused_at_the_door(
    tmp_path: Path, weights: Path, host: ModelHost, field: str, value: object, says: str
) -> None:
    error = Stage(tmp_path, weights, host, "text-to-image").refusal(**{"prompt": "a fox", field: value})
    assert error.field == f"data.{field}"
    assert says in error.message


def test_a_story_has_the_frames_that_its_plan_promised(tmp_path: Path, weights: Path, host: ModelHost) -> None:
    stage = Stage(tmp_path, weights, host, "story-to-video")
    data = {"scenes": ["a", "b", "c"], "hero_description": "a fox", "num_inference_steps": 10}
    data |= {"duration_per_scene": 0.5, "fps": 12, "width": 64, "height": 48, "transition_frames": 3}
    promised = PIPELINES["story-to-video"].plan(stage.data(**data), stage.context)
    (made,) = stage.run(**data)
    frames = frames_of(tmp_path / "video.mp4")
    assert len(frames) == promised.frames == made.facts.frames == 3 * 6 + 2 * 3
    assert (made.facts.width, made.facts.height, made.facts.fps) == (64, 48, 12.0)
    assert made.facts.duration_seconds == promised.duration_seconds == 2.0
    assert stage.context.manifest_details["prompts"] == ["a fox, a", "a fox, b", "a fox, c"]
    assert stage.context.manifest_details["scene_seeds"] == [4_000_000_001, 4_000_000_002, 4_000_000_003]
    middle = (frames[5].astype(int) + frames[9]) / 2
    assert np.abs(frames[7] - middle).mean() < 4
    assert np.array_equal(frames[0], frames[5])


@pytest.mark.parametrize(("seconds", "rate", "heard"), [(5.0, 22_050, 2.0), (0.7, 48_000, 0.7)])
def test_a_story_has_the_sound_that_was_given(
    tmp_path: Path, weights: Path, host: ModelHost, seconds: float, rate: int, heard: float
) -> None:
    stage = Stage(tmp_path, weights, host, "story-to-video")
    stage.context.files = {"s3://inbox/a.wav": write_wav(tmp_path / "a.wav", seconds, rate)}
    data = {"scenes": ["a", "b", "c"], "audio": "s3://inbox/a.wav", "num_inference_steps": 10}
    data |= {"duration_per_scene": 0.5, "fps": 12, "width": 64, "height": 48, "transition_frames": 3}
    (made,) = stage.run(**data)
    assert (made.facts.frames, made.facts.audio_codec) == (24, "aac")
    assert len(frames_of(tmp_path / "video.mp4")) == 24
    samples, heard_rate = sound_of(tmp_path / "video.mp4")
    loud = np.abs(samples)
    assert len(samples) / heard_rate == pytest.approx(heard, abs=0.05)
    assert loud[int(0.3 * heard_rate) : int(0.5 * heard_rate)].max() == pytest.approx(0.2, abs=0.03)
    if seconds > heard:  # it fades out
        assert loud[int(1.9 * heard_rate) :].max() < 0.05
        assert loud[int(1.2 * heard_rate) : int(1.5 * heard_rate)].max() > 0.1


def test_a_damaged_sound_is_refused_before_a_model_runs(tmp_path: Path, weights: Path, host: ModelHost) -> None:
    stage = Stage(tmp_path, weights, host, "story-to-video")
    whole = write_wav(tmp_path / "a.wav", 2).read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[: len(whole) // 2])
    stage.context.files = {"s3://inbox/a.wav": tmp_path / "a.wav"}
    with pytest.raises(InvalidAudio, match="truncated") as caught:
        stage.run(scenes=["a", "b"], audio="s3://inbox/a.wav")
    assert caught.value.field == "data.audio"
    assert stage.context.reported == []
    with pytest.raises(InvalidAudio, match="truncated"):
        PIPELINES["story-to-video"].plan(stage.data(scenes=["a", "b"], audio="s3://inbox/a.wav"), stage.context)
    assert "audio" not in stage.data(scenes=["a", "b"]).model_dump()


def test_the_plan_of_a_story_equals_the_source_systems(tmp_path: Path, weights: Path, host: ModelHost) -> None:
    stage = Stage(tmp_path, weights, host, "story-to-video")
    data = stage.data(hero_description="a brave knight in silver armor", scenes=["Scene 1", "Scene 2", "Scene 3"])
    plan = PIPELINES["story-to-video"].plan(data, stage.context)
    assert (plan.frames, plan.duration_seconds) == (240, 10.0)
    details = {
        "scenes_count": 3,
        "frames_per_scene": 72,
        "transition_frames": 12,
        "total_frames": 240,
        "total_duration_seconds": 10.0,
        "fps": 24,
        "resolution": "512x512",
        "estimated_generation_time_seconds": 15,
    }
    assert {name: plan.details[name] for name in details} == details


def test_the_middle_of_a_crossfade_is_the_mean_of_both_pictures() -> None:
    before, after = (np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8) for seed in (1, 2))
    mean = (before.astype(int) + after) / 2
    assert np.abs(crossfade(before, after, 2, 3) - mean).max() <= 0.5
    steps = [crossfade(before, after, step, 12).astype(int) for step in range(1, 13)]
    assert np.abs(steps[0] - before).max() <= 21
    assert np.abs(steps[-1] - after).max() <= 21


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"scenes": ["one"]}, "data.scenes", "invalid_field"),
        ({"scenes": ["one", ""]}, "data.scenes.1", "invalid_field"),
        ({"width": 500}, "data.width", "invalid_field"),
        ({"duration_per_scene": 0}, "data.duration_per_scene", "invalid_field"),
        ({"fps": 0}, "data.fps", "invalid_field"),
        ({"transition_frames": -1}, "data.transition_frames", "invalid_field"),
        ({"scenes": ["x"] * 100, "duration_per_scene": 60}, "data.scenes", "invalid_field"),
        ({"consistency": "reference"}, "data.hero_image", "missing_field"),
    ],
)
def test_what_a_story_cannot_be_is_refused_at_the_door(
    tmp_path: Path, weights: Path, host: ModelHost, change: dict[str, Any], field: str, code: str
) -> None:
    error = Stage(tmp_path, weights, host, "story-to-video").refusal(**{"scenes": ["one", "two"], **change})
    assert (error.code, error.field) == (code, field)


def test_a_text_becomes_a_film_on_mochi(tmp_path: Path, weights: Path, host: ModelHost) -> None:
    stage = Stage(tmp_path, weights, host, "text-to-video")
    (made,) = stage.run(model="mochi", prompt="a fox runs", fps=12, seed=42, **FILM, **SHORT)
    frames = frames_of(tmp_path / "video.mp4")
    assert (len(frames), frames[0].shape) == (8, (256, 256, 3))
    assert (made.facts.frames, made.facts.fps, made.facts.width) == (8, 12.0, 256)
    details = stage.context.manifest_details
    assert (details["backend"], details["seed"], details["pipeline"]) == ("mochi", 42, "MochiPipeline")
    assert (details["num_inference_steps"], details["guidance_scale"]) == (2, 4.5)
    assert details["elapsed_seconds"] > 0


def test_a_picture_becomes_a_film_and_is_described_here_where_no_prompt_is_given(
    tmp_path: Path, weights: Path, host: ModelHost
) -> None:
    stage = Stage(tmp_path, weights, host, "image-to-video")
    film, words = stage.run(image=IMAGE, model="wan", **FILM, **SHORT)
    assert film.facts.frames == len(frames_of(tmp_path / "video.mp4")) == 8
    assert words.name == "prompt.txt"
    assert stage.context.manifest_details["prompt"] == (tmp_path / "prompt.txt").read_text().strip()
    assert stage.context.manifest_details["pipeline"] == "WanImageToVideoPipeline"


def test_the_model_auto_takes_the_backend_that_is_preferred_and_can_do_it(
    tmp_path: Path, weights: Path, host: ModelHost
) -> None:
    stage = Stage(tmp_path, weights, host, "text-to-video")
    stage.run(model="auto", prompt="a fox runs", prefer_backend="mochi", **FILM, **SHORT)
    assert stage.context.manifest_details["backend"] == "mochi"
    (tmp_path / "two").mkdir()
    pictured = Stage(tmp_path / "two", weights, host, "image-to-video")
    pictured.run(model="auto", image=IMAGE, prompt="it runs", prefer_backend="mochi", **FILM, **SHORT)
    assert pictured.context.manifest_details["backend"] == "wan"


@pytest.mark.parametrize(
    ("gigabytes", "preferred", "used"),
    [
        (12, "mochi", ("mochi", True)),
        (12, "", ("wan-1.3b", False)),
        (8, "", ("wan-1.3b", True)),
        (22, "mochi", ("mochi", False)),
        (5, "mochi", ("wan-1.3b", True)),
        (3, "mochi", "Insufficient RAM: mochi needs ~6.0GB, but only 3.0GB available."),
        (3, "", "Insufficient RAM: wan-1.3b needs ~4.0GB, but only 3.0GB available."),
    ],
)
def test_h2_auto_takes_a_low_memory_mode_before_it_refuses(
    tmp_path: Path, weights: Path, gigabytes: int, preferred: str, used: tuple[str, bool] | str
) -> None:
    class Sized(Cpu):
        """The CPU as a device with so much memory."""

        def free_bytes(self) -> int:
            return int(gigabytes * GB)

    stage = Stage(tmp_path, weights, ModelHost(weights, device=Sized), "text-to-video")
    needs = {"mochi": (22, 6), "wan-1.3b": (12, 4)}
    stage.context.catalogue = stage.context.catalogue.with_entries(
        [{"id": name, "weights": {"need_gb": need, "low_need_gb": low}} for name, (need, low) in needs.items()]
    )
    wanted = {"model": "auto", "prompt": "a fox runs", "prefer_backend": preferred, **FILM, **SHORT}
    if isinstance(used, str):
        with pytest.raises(InsufficientVram) as caught:
            stage.run(**wanted)
        assert caught.value.message == used
        return
    stage.run(**wanted)
    details = stage.context.manifest_details
    assert (details["backend"], details["low_vram"]) == used
    assert len(frames_of(tmp_path / "video.mp4")) == 8


@pytest.mark.parametrize("consent", [None, False])
def test_a_film_without_consent_is_refused(
    tmp_path: Path, weights: Path, host: ModelHost, consent: bool | None
) -> None:
    error = Stage(tmp_path, weights, host, "text-to-video").refusal(
        model="mochi", prompt="a fox", **{**FILM, "lawful_use_consent": consent}
    )
    assert (error.code, error.field) == ("consent_required", "data.lawful_use_consent")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("prompt", "ab", "at least 3 characters"),
        ("prompt", "x" * 1001, "at most 1,000 characters"),
        ("fps", 61, "must be at most 60"),
        ("num_frames", 7, "must be at least 8"),
        ("num_frames", 241, "must be at most 240"),
        ("width", 248, "must be at least 256"),
        ("width", 260, "multiple of 8"),
        ("height", 1088, "must be at most 1080"),
        ("prefer_backend", "sora", "must be one of"),
    ],
)
def test_what_a_local_film_cannot_be_is_refused_at_the_door(
    tmp_path: Path, weights: Path, host: ModelHost, field: str, value: object, says: str
) -> None:
    error = Stage(tmp_path, weights, host, "text-to-video").refusal(
        **{"model": "mochi", "prompt": "a fox", **FILM, field: value}
    )
    assert error.field == f"data.{field}"
    assert says in error.message


def test_mochi_does_not_pass_over_a_picture_in_silence(tmp_path: Path, weights: Path, host: ModelHost) -> None:
    with pytest.raises(UnsupportedOption, match="mochi does not accept an image"):
        Stage(tmp_path, weights, host, "image-to-video").run(image=IMAGE, prompt="it runs", model="mochi", **FILM)


def test_a_backend_without_weights_names_the_command_that_brings_them(
    tmp_path: Path, weights: Path, host: ModelHost
) -> None:
    stage = Stage(tmp_path, weights, host, "text-to-video")
    with pytest.raises(ModelNotInstalled, match="telecine models pull ltx"):
        stage.run(model="ltx", prompt="a fox", **FILM)


def test_a_provider_without_a_key_is_passed_over_for_a_local_model(
    tmp_path: Path, weights: Path, host: ModelHost
) -> None:
    stage = Stage(tmp_path, weights, host, "image-to-prompt")
    stage.run(image=IMAGE, model=["clip-interrogator", "clip-interrogator/local"], mode="fast")
    assert stage.context.manifest_details["model"] == "clip-interrogator/local"
    with pytest.raises(ProviderNotConfigured):
        Stage(tmp_path, weights, host, "image-to-prompt").run(image=IMAGE)


@pytest.mark.parametrize("mode", ["best", "fast", "classic", "negative"])
def test_a_picture_is_described_by_captioner_and_ranker(
    tmp_path: Path, weights: Path, host: ModelHost, mode: str
) -> None:
    stage = Stage(tmp_path, weights, host, "image-to-prompt")
    (made,) = stage.run(image=IMAGE, model="clip-interrogator/local", mode=mode)
    text = (tmp_path / "prompt.txt").read_text().strip()
    assert (made.name, stage.context.manifest_details["prompt"]) == ("prompt.txt", text)
    assert "," in text


def test_a_damaged_picture_is_refused_before_a_model_sees_it(tmp_path: Path, weights: Path, host: ModelHost) -> None:
    stage = Stage(tmp_path, weights, host, "image-to-prompt")
    picture = (tmp_path / "fox.png").read_bytes()
    (tmp_path / "fox.png").write_bytes(picture[:60])
    with pytest.raises(InvalidImage):
        stage.run(image=IMAGE, model="clip-interrogator/local")
