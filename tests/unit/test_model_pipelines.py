"""The pipelines of catalogue models on an in-memory context: their calls, results and manifest details."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.memory_context import Answerer, MemoryContext, RecordedCall
from pipelines.registry import PIPELINES
from providers.catalogue import Catalogue
from providers.registry import catalogue_of
from schemas.envelope import Request
from schemas.errors import (
    InputTooLarge,
    InvalidAudio,
    InvalidField,
    InvalidImage,
    ProviderNotConfigured,
    ProviderOutcomeUnknown,
    ProviderResultInvalid,
    ProviderTaskFailed,
)
from schemas.media import StoredArtifact
from schemas.parse import parse_request
from schemas.settings import Settings
from tests.doubles.films import small_film
from tests.media_probe import ffmpeg, write_wav

CATALOGUE = catalogue_of(Settings())
IMAGE, AUDIO = "s3://inbox/c.jpg", "s3://inbox/s.mp3"
CAPTION = "a red kite over dunes, golden hour"


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material")
    for kind in ("jpeg", "png", "webp", "gif"):
        Image.new("RGB", (64, 48), "teal").save(folder / f"picture.{kind}", kind)
    song = write_wav(folder / "song.wav", 2.5)
    for suffix in ("mp3", "flac"):
        ffmpeg("-i", str(song), str(folder / f"song.{suffix}"))
    (folder / "film.mp4").write_bytes(small_film())
    return folder


def data_of(kind: str, **data: Any) -> Any:
    request = parse_request(json.dumps({"id": "a", "type": kind, "data": data}).encode())
    assert isinstance(request, Request)
    PIPELINES[kind].check(request.data, kind, CATALOGUE)
    return request.data


class Stage:
    """One job on an in-memory context, with its files and the results of its models."""

    def __init__(
        self,
        kind: str,
        folder: Path,
        material: Path,
        *,
        image: str = "picture.jpeg",
        audio: str = "song.mp3",
        catalogue: Catalogue = CATALOGUE,
        **answers: Answerer,
    ) -> None:
        named = {name.replace("_", "-"): answer for name, answer in answers.items()}
        files = {IMAGE: material / image, AUDIO: material / audio}
        self.kind = kind
        self.context = MemoryContext(folder, kind, files, catalogue, named)

    def run(self, **data: Any) -> list[StoredArtifact]:
        return list(PIPELINES[self.kind].run(data_of(self.kind, **data), self.context))

    @property
    def calls(self) -> list[RecordedCall]:
        return self.context.calls


def film(material: Path) -> Answerer:
    return lambda call: material / "film.mp4"


def caption(call: RecordedCall) -> object:
    return CAPTION


def test_text_to_video_makes_a_video(tmp_path: Path, material: Path) -> None:
    stage = Stage("text-to-video", tmp_path, material, seedancev1lite=film(material))
    made = stage.run(model="seedancev1lite", prompt="a kite", duration=10, aspect_ratio="9:16")
    assert [(artifact.name, artifact.content_type) for artifact in made] == [("video.mp4", "video/mp4")]
    assert stage.calls[0].parameters == {
        "prompt": "a kite",
        "duration": 10,
        "aspect_ratio": "9:16",
        "resolution": "720p",
    }
    assert stage.calls[0].output is not None
    assert stage.calls[0].output.kinds == ("mp4",)
    assert stage.context.manifest_details == {"prompt": "a kite"}


def test_imagine_receives_the_style(tmp_path: Path, material: Path) -> None:
    stage = Stage("text-to-video", tmp_path, material, imagine_text_to_video=film(material))
    stage.run(
        model="imagine-text-to-video",
        prompt="A cat eating hotdogs in a park",
        aspect_ratio="16:9",
        duration=12,
        resolution="1080p",
        style_id=60503,
        is_enhance=True,
    )
    assert stage.calls[0].parameters["style_id"] == 60503
    assert stage.calls[0].parameters["is_enhance"] is True


def test_pika_animates_an_image_with_a_written_prompt(tmp_path: Path, material: Path) -> None:
    stage = Stage("image-to-video", tmp_path, material, clip_interrogator=caption, pika=film(material))
    made = stage.run(image_id="s3:&#x2F;&#x2F;inbox&#x2F;c.jpg")
    assert [(call.step, call.model.id) for call in stage.calls] == [
        ("caption", "clip-interrogator"),
        ("animate", "pika"),
    ]
    assert stage.calls[0].parameters == {"mode": "best", "clip_model_name": "ViT-L-14/openai"}
    assert stage.calls[1].parameters["prompt"] == CAPTION
    assert {name: file.uri for name, file in stage.calls[1].inputs.items()} == {"image": IMAGE}
    assert (made[0].name, stage.context.manifest_details) == ("video.mp4", {"prompt": CAPTION})


def test_no_prompt_is_written_if_the_request_has_one(tmp_path: Path, material: Path) -> None:
    stage = Stage("image-to-video", tmp_path, material, clip_interrogator=caption, wan25fast=film(material))
    stage.run(image=IMAGE, model="wan25fast", prompt="she waves", negative_prompt="blur")
    assert [call.step for call in stage.calls] == ["animate"]
    assert stage.calls[0].parameters["negative_prompt"] == "blur"


def test_a_written_prompt_is_cut_to_the_shortest_limit(tmp_path: Path, material: Path) -> None:
    parts = ", ".join(["a very long description"] * 40)
    stage = Stage("image-to-video", tmp_path, material, clip_interrogator=lambda call: parts, wan25fast=film(material))
    stage.run(image=IMAGE, model=["wan25fast", "pika"])
    prompt = stage.calls[1].parameters["prompt"]
    assert 450 < len(prompt) <= 500
    assert parts.startswith(prompt + ", a")


def test_the_first_available_model_is_called(tmp_path: Path, material: Path) -> None:
    stage = Stage("image-to-video", tmp_path, material, wan25fast=film(material))
    stage.run(image=IMAGE, model=["hailuo23fast", "wan25fast"], prompt="x")
    assert [call.model.id for call in stage.calls] == ["wan25fast"]


def test_no_other_model_is_called_after_an_unknown_outcome(tmp_path: Path, material: Path) -> None:
    def unknown(call: RecordedCall) -> object:
        raise ProviderOutcomeUnknown

    stage = Stage("image-to-prompt", tmp_path, material, clip_interrogator=unknown)
    with pytest.raises(ProviderOutcomeUnknown):
        stage.run(image=IMAGE, model=["clip-interrogator", "clip-interrogator/local"], mode="fast")


@pytest.mark.parametrize("value", [None, "", "  \n", 7, ["a"]])
def test_an_empty_prompt_fails_the_job_before_the_video_is_paid_for(
    tmp_path: Path, material: Path, value: object
) -> None:
    stage = Stage("image-to-video", tmp_path, material, clip_interrogator=lambda call: value, pika=film(material))
    with pytest.raises(ProviderResultInvalid, match="without a description"):
        stage.run(image=IMAGE)
    assert [call.step for call in stage.calls] == ["caption"]


def test_no_call_is_made_if_the_catalogue_changed_since_admission(tmp_path: Path, material: Path) -> None:
    stage = Stage("image-to-video", tmp_path, material, clip_interrogator=caption)
    stage.context.catalogue = CATALOGUE.with_entries([{"id": "pika", "parameters": {"style": {"required": True}}}])
    with pytest.raises(InvalidField, match="pika has no such parameter; it takes style"):
        stage.run(image=IMAGE)
    assert stage.calls == []


def test_a_missing_video_a_failure_and_a_missing_key_fail_the_job(tmp_path: Path, material: Path) -> None:
    with pytest.raises(ProviderResultInvalid, match="hailuo02standard answered without a video"):
        Stage("text-to-video", tmp_path, material, hailuo02standard=lambda call: "no file").run(
            model="hailuo02standard", prompt="x"
        )

    def fail(call: RecordedCall) -> object:
        raise ProviderTaskFailed("the model ran out of ideas")

    with pytest.raises(ProviderTaskFailed):
        Stage("text-to-video", tmp_path, material, hailuo02standard=fail).run(model="hailuo02standard", prompt="x")
    with pytest.raises(ProviderNotConfigured):
        Stage("text-to-video", tmp_path, material).run(model="hailuo02standard", prompt="x")


@pytest.mark.parametrize("audio", ["song.mp3", "song.wav"])
def test_a_talking_portrait_is_as_long_as_the_audio(tmp_path: Path, material: Path, audio: str) -> None:
    stage = Stage("audio-to-video", tmp_path, material, image="picture.webp", audio=audio, Infinitetalk=film(material))
    stage.run(image=IMAGE, audio=AUDIO, prompt="make video in motion", resolution="720p")
    sent = stage.calls[0].parameters
    assert (sent["resolution"], sent["prompt"]) == ("720p", "make video in motion")
    assert sent["audio_duration"] == pytest.approx(2.5, abs=0.1)
    assert set(stage.calls[0].inputs) == {"image", "audio"}


def test_audio_duration_overrides_the_measured_length(tmp_path: Path, material: Path) -> None:
    stage = Stage("audio-to-video", tmp_path, material, Infinitetalk=film(material))
    stage.run(image=IMAGE, audio=AUDIO, audio_duration=5.06)
    assert stage.calls[0].parameters == {"prompt": "", "audio_duration": 5.06, "resolution": "1080p"}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("image-to-video", {"image": IMAGE}),
        ("audio-to-video", {"image": IMAGE, "audio": AUDIO}),
        ("image-to-prompt", {"image": IMAGE}),
    ],
)
@pytest.mark.parametrize(("image", "got"), [("film.mp4", "video/mp4"), ("picture.gif", "image/gif")])
def test_an_image_of_another_kind_is_rejected_with_the_source_systems_message(
    tmp_path: Path, material: Path, kind: str, data: dict[str, Any], image: str, got: str
) -> None:
    with pytest.raises(InvalidImage) as caught:
        Stage(kind, tmp_path, material, image=image).run(**data)
    assert caught.value.message == f"Invalid image file type. Allowed: JPEG, PNG, WebP. Got: {got}"
    assert caught.value.field == "data.image"


def test_flac_is_accepted_for_captions_but_not_for_portraits(tmp_path: Path, material: Path) -> None:
    with pytest.raises(InvalidAudio, match=r"Invalid audio file type\. Allowed: MP3, WAV\. Got: audio/flac"):
        Stage("audio-to-video", tmp_path, material, audio="song.flac").run(image=IMAGE, audio=AUDIO)
    stage = Stage("audio-to-captions", tmp_path, material, audio="song.flac")
    stage.run(audio=AUDIO, lyrics="one two", alignment_mode="even")


def test_an_image_of_more_than_50_mb_is_rejected(tmp_path: Path, material: Path) -> None:
    with (tmp_path / "large.jpg").open("wb") as large:
        large.truncate(50 * 1024 * 1024 + 1)
    stage = Stage("image-to-video", tmp_path, material, image=str(tmp_path / "large.jpg"))
    with pytest.raises(InputTooLarge, match="File too large"):
        stage.run(image=IMAGE)


@pytest.mark.parametrize("mode", ["best", "fast", "classic", "negative"])
def test_the_prompt_is_in_the_file_and_in_the_manifest(tmp_path: Path, material: Path, mode: str) -> None:
    stage = Stage("image-to-prompt", tmp_path, material, clip_interrogator=lambda call: f" {CAPTION}\n")
    made = stage.run(image=IMAGE, mode=mode)
    assert [(artifact.name, artifact.content_type) for artifact in made] == [
        ("prompt.txt", "text/plain; charset=utf-8")
    ]
    assert (tmp_path / "prompt.txt").read_text() == CAPTION + "\n"
    assert stage.calls[0].parameters["mode"] == mode
    assert stage.context.manifest_details == {"prompt": CAPTION}


def test_captions_and_words_have_the_transcribed_times(tmp_path: Path, material: Path) -> None:
    heard = [{"text": "Hello", "start": 0.25, "end": 0.75}, {"text": "there", "start": 1.5, "end": None}]
    heard.append({"text": "world", "start": 2.0, "end": 2.25})
    stage = Stage("audio-to-captions", tmp_path, material, audio="song.wav", scribe=lambda call: {"words": heard})
    made = stage.run(audio=AUDIO, language="en", alignment_mode="elevenlabs", words_per_group=1, min_duration=0)
    assert [artifact.name for artifact in made] == [
        "captions.srt",
        "captions.vtt",
        "captions.lrc",
        "captions.ass",
        "words.json",
    ]
    assert (tmp_path / "captions.srt").read_text() == (
        "1\n00:00:00,250 --> 00:00:00,750\nHello\n\n2\n00:00:00,750 --> 00:00:02,000\nthere\n\n"
        "3\n00:00:02,000 --> 00:00:02,250\nworld\n"
    )
    words = json.loads((tmp_path / "words.json").read_text())
    assert (words["version"], words["source"], words["language"], words["duration_seconds"]) == (
        1,
        "transcription",
        "en",
        2.5,
    )
    assert words["words"] == [
        {"text": "Hello", "start": 0.25, "end": 0.75, "heard": True},
        {"text": "there", "start": 0.75, "end": 2.0, "heard": False},
        {"text": "world", "start": 2.0, "end": 2.25, "heard": True},
    ]


@pytest.mark.parametrize(
    ("mode", "source", "captions"),
    [("auto", "spread", ["one two", "three four"]), ("even", "even", ["one two three", "four"])],
)
def test_only_even_counts_off_the_words_and_gives_equal_shares_reel_H5_M2(
    tmp_path: Path, material: Path, mode: str, source: str, captions: list[str]
) -> None:
    stage = Stage("audio-to-captions", tmp_path, material, audio="song.wav")
    stage.run(audio=AUDIO, lyrics="one two three four", alignment_mode=mode, min_duration=0)
    found = json.loads((tmp_path / "words.json").read_text())
    assert found["source"] == source
    assert [word["heard"] for word in found["words"]] == [False] * 4
    lengths = {round(word["end"] - word["start"], 2) for word in found["words"]}
    assert (len(lengths) == 1) == (mode == "even")
    assert [line for line in (tmp_path / "captions.srt").read_text().splitlines() if line[:1].isalpha()] == captions


def test_captions_outside_of_a_reel_are_in_its_manifest_and_its_plan_gap_L1(tmp_path: Path, material: Path) -> None:
    stage = Stage("reel", tmp_path, material, audio="song.wav")
    data = {"image": IMAGE, "audio": AUDIO, "lyrics": "one\ntwo", "alignment_mode": "even", "timing_offset": -1.5}
    data |= {"width": 128, "height": 128}
    warnings = ["timing_offset -1.5 moves 1 of 2 captions out of the audio; they are not shown"]
    stage.run(**data)
    assert stage.context.manifest_details == {"warnings": warnings}
    assert PIPELINES["reel"].plan(data_of("reel", **data), stage.context).details["warnings"] == warnings


@pytest.mark.parametrize(
    ("kind", "data", "cost", "seconds"),
    [
        ("text-to-video", {"model": "seedancev1lite", "prompt": "x", "duration": 10}, "5.00", 10.0),
        ("image-to-video", {"image": IMAGE}, "0.2535", None),
        ("image-to-video", {"image": IMAGE, "prompt": "x"}, "0.25", None),
        ("audio-to-video", {"image": IMAGE, "audio": AUDIO, "audio_duration": 4}, "0.40", 4.0),
        ("image-to-prompt", {"image": IMAGE}, "0.0035", None),
        ("audio-to-captions", {"audio": AUDIO, "alignment_mode": "elevenlabs"}, "0.025", 2.5),
        ("audio-to-captions", {"audio": AUDIO, "lyrics": "a", "alignment_mode": "even"}, "0.00", 2.5),
    ],
)
def test_a_plan_contains_the_catalogue_price_and_makes_no_call(
    tmp_path: Path, material: Path, kind: str, data: dict[str, Any], cost: str, seconds: float | None
) -> None:
    prices: list[dict[str, Any]] = [
        {"id": "seedancev1lite", "price": "0.5", "price_per": "second"},
        {"id": "pika", "price": "0.25"},
        {"id": "Infinitetalk", "price": "0.1", "price_per": "second"},
        {"id": "clip-interrogator", "price": "0.0035"},
        {"id": "scribe", "price": "0.01", "price_per": "second"},
    ]
    stage = Stage(kind, tmp_path, material, audio="song.wav", catalogue=CATALOGUE.with_entries(prices))
    planned = PIPELINES[kind].plan(data_of(kind, **data), stage.context)
    assert planned.cost == {"amount": cost, "currency": "USD"}
    assert planned.duration_seconds == seconds
    assert planned.estimated_seconds > 0
    assert stage.calls == []


@pytest.mark.parametrize(
    ("waits", "seconds"), [({"pika_first_wait_seconds": 1}, 15 + 60), ({}, 15 + 310)], ids=["gap_L14-short", "gap_L14"]
)
def test_a_written_prompt_is_estimated_at_the_seconds_of_its_document(
    tmp_path: Path, material: Path, waits: dict[str, Any], seconds: float
) -> None:
    stage = Stage("image-to-video", tmp_path, material, catalogue=catalogue_of(Settings(**waits)))
    planned = PIPELINES["image-to-video"].plan(data_of("image-to-video", image=IMAGE), stage.context)
    assert planned.estimated_seconds == seconds


@pytest.mark.parametrize(
    ("data", "times"),
    [
        ({}, 1),
        ({"fps": 1}, 1),
        ({"fps": 60}, 1),
        ({"num_frames": 128}, 2),
        ({"width": 1440}, 2),
        ({"width": 360, "height": 360}, 1 / 4),
        ({"width": 1440, "num_frames": 128}, 4),
        ({"parameters": {"num_inference_steps": 25}}, 1 / 2),
        ({"model": "mochi", "num_frames": 62}, 67 / 64),  # Mochi makes 6 n + 1 frames
        ({"model": "wan-1.3b", "height": 712}, 65 / 64),  # 4 n + 1 frames of 720x720, which are cut
    ],
    ids=str,
)
def test_m6_the_plan_of_a_local_film_counts_frames_pixels_and_steps(
    tmp_path: Path, material: Path, data: dict[str, Any], times: float
) -> None:
    film = {"model": "auto", "prompt": "a serene lake", "lawful_use_consent": True, **data}
    stage = Stage("text-to-video", tmp_path, material)
    planned = PIPELINES["text-to-video"].plan(data_of("text-to-video", **film), stage.context)
    assert planned.estimated_seconds == pytest.approx(106.7 * times, rel=0.01)
    assert planned.duration_seconds == pytest.approx((planned.frames or 0) / (planned.fps or 0))
