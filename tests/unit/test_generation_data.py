"""Parameters of the job types that models of the catalogue execute: names, defaults, ranges, and invalid values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from consumer.wiring import admission_policy, build_runtime
from providers.registry import catalogue_of
from schemas.envelope import Request
from schemas.errors import RequestError
from schemas.parse import parse_request
from schemas.settings import Settings

CATALOGUE = catalogue_of(Settings())
IMAGE, AUDIO = "s3://inbox/c.jpg", "s3://inbox/s.mp3"
LEAST: dict[str, dict[str, Any]] = {
    "text-to-video": {"model": "seedancev1lite", "prompt": "a kite"},
    "image-to-video": {"image": IMAGE},
    "audio-to-video": {"image": IMAGE, "audio": AUDIO},
    "image-to-prompt": {"image": IMAGE},
    "audio-to-captions": {"audio": AUDIO},
}


def read(kind: str, **changes: Any) -> Any:
    """Parse a request with these fields and check it as on admission; ``...`` leaves one out."""
    from pipelines.registry import PIPELINES

    data = {name: value for name, value in {**LEAST[kind], **changes}.items() if value is not ...}
    request = parse_request(json.dumps({"id": "a", "type": kind, "data": data}).encode())
    assert isinstance(request, Request)
    PIPELINES[kind].check(request.data, kind, CATALOGUE)
    return request.data


def refusal(kind: str, **changes: Any) -> RequestError:
    """Return the error that a request with these fields is refused with."""
    with pytest.raises(RequestError) as caught:
        read(kind, **changes)
    return caught.value


@pytest.mark.parametrize("kind", sorted(LEAST))
def test_the_smallest_request_of_each_type_is_accepted(kind: str) -> None:
    read(kind)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("image-to-video", "model", "pika"),
        ("image-to-video", "prompt", None),
        ("audio-to-video", "model", "Infinitetalk"),
        ("audio-to-video", "prompt", ""),
        ("audio-to-video", "audio_duration", None),
        ("image-to-prompt", "model", "clip-interrogator"),
        ("audio-to-captions", "alignment_mode", "auto"),
        ("audio-to-captions", "words_per_group", 3),
        ("audio-to-captions", "min_duration", 1.0),
        ("audio-to-captions", "timing_offset", 0.0),
    ],
)
def test_the_defaults_are_those_of_the_contract(kind: str, field: str, value: object) -> None:
    assert getattr(read(kind), field) == value


@pytest.mark.parametrize(
    ("kind", "model", "field", "good", "bad", "message"),
    [
        ("text-to-video", "hailuo02standard", "duration", [6], 5, "must be one of 6 for hailuo02standard"),
        ("text-to-video", "seedancev1lite", "duration", [5, 10, "5", 5.0], 6, "must be one of 5, 10"),
        ("text-to-video", "seedancev1lite", "resolution", ["720p", "1080p"], "768p", "must be one of 720p, 1080p"),
        ("text-to-video", "seedancev1lite", "aspect_ratio", ["9:16", "16:9", "1:1"], "4:3", "one of 9:16, 16:9, 1:1"),
        ("text-to-video", "imagine-text-to-video", "duration", [5, 6, 12], 10, "must be one of 5, 6, 12"),
        ("text-to-video", "imagine-text-to-video", "aspect_ratio", ["4:3"], "5:4", "must be one of 16:9, 9:16, 4:3"),
        ("text-to-video", "imagine-text-to-video", "style_id", [60503], -1, "must be at least 0"),
        ("text-to-video", "imagine-text-to-video", "is_enhance", [True, False], "perhaps", "must be true or false"),
        ("image-to-video", "hailuo23fast", "resolution", ["768p"], "720p", "must be one of 768p"),
        ("image-to-video", "hailuo23fast", "duration", [6, 10], 5, "must be one of 6, 10"),
        ("image-to-video", "wan25fast", "resolution", ["720p", "1080p"], "768p", "must be one of 720p, 1080p"),
        ("image-to-video", "wan25fast", "duration", [5, 10], 6, "must be one of 5, 10"),
        ("audio-to-video", "Infinitetalk", "resolution", ["720p", "1080p"], "480p", "must be one of 720p, 1080p"),
        ("audio-to-video", "Infinitetalk", "audio_duration", [5.06], 0, "must be greater than 0"),
        ("image-to-prompt", "clip-interrogator", "mode", ["best", "fast", "classic", "negative"], "slow", "'classic'"),
    ],
)
def test_each_parameter_is_accepted_in_its_range_and_refused_with_the_range(
    kind: str, model: str, field: str, good: list[Any], bad: Any, message: str
) -> None:
    with_prompt = {"prompt": "a kite"} if kind == "image-to-video" else {}
    for value in good:
        assert field in read(kind, model=model, **{field: value}, **with_prompt).explicit_parameters()
    error = refusal(kind, model=model, **{field: bad}, **with_prompt)
    assert (error.code, error.field) == ("invalid_field", f"data.{field}")
    assert message in error.message


@pytest.mark.parametrize(
    ("kind", "model", "most"),
    [
        ("text-to-video", "seedancev1lite", 1000),
        ("text-to-video", "hailuo02standard", 1000),
        ("text-to-video", "imagine-text-to-video", 2000),
        ("image-to-video", "hailuo23fast", 500),
        ("image-to-video", "wan25fast", 500),
    ],
)
def test_a_prompt_may_have_the_length_that_the_model_accepts(kind: str, model: str, most: int) -> None:
    read(kind, model=model, prompt="a" * most)
    error = refusal(kind, model=model, prompt="a" * (most + 1))
    assert (error.code, error.field) == ("invalid_field", "data.prompt")
    assert f"{most:,}" in error.message.replace(str(most), f"{most:,}")


@pytest.mark.parametrize("prompt", [..., None, "", "  \n"])
def test_a_text_to_video_needs_a_prompt(prompt: Any) -> None:
    assert refusal("text-to-video", prompt=prompt).field == "data.prompt"


def test_a_prompt_is_written_for_pika_and_required_by_the_others() -> None:
    read("image-to-video", model="Pika")
    read("image-to-video", model=["hailuo23fast", "pika"])
    error = refusal("image-to-video", model="hailuo23fast")
    assert (error.code, error.message) == ("invalid_field", "data.prompt: hailuo23fast needs it")


def test_a_model_for_another_type_is_refused_with_the_available_ones() -> None:
    error = refusal("text-to-video", model="wan25fast")
    assert (error.code, error.field) == ("unknown_model", "data.model")
    assert "'wan25fast' is not for text-to-video" in error.message
    for name in ("hailuo02standard", "seedancev1lite", "imagine-text-to-video"):
        assert name in error.message
    assert "does not exist" in refusal("image-to-video", model="sora").message


@pytest.mark.parametrize("kind", ["text-to-video", "image-to-video"])
@pytest.mark.parametrize("model", ["mochi", "opensora", "auto", "wan"])
def test_a_local_model_requires_consent_to_lawful_use(kind: str, model: str) -> None:
    error = refusal(kind, model=model, prompt="a kite")
    assert (error.code, error.field) == ("consent_required", "data.lawful_use_consent")


@pytest.mark.parametrize("kind", ["text-to-video", "image-to-video"])
@pytest.mark.parametrize(
    ("field", "value"),
    [("fps", 24), ("num_frames", 24), ("width", 256), ("height", 256), ("low_vram", True), ("prefer_backend", "Mochi")],
)
def test_a_parameter_of_the_local_models_is_refused_by_the_others(kind: str, field: str, value: object) -> None:
    error = refusal(kind, **{field: value})
    assert (error.code, error.field) == ("invalid_field", f"data.{field}")
    assert "has no such parameter" in error.message


def test_at_least_one_of_several_models_must_accept_the_parameters() -> None:
    taken = read("image-to-video", model=["hailuo23fast", "wan25fast"], prompt="x", resolution="1080p")
    assert taken.models == ["hailuo23fast", "wan25fast"]
    error = refusal("image-to-video", model=["hailuo23fast", "wan25fast"], prompt="x", resolution="480p")
    assert (error.code, error.field) == ("invalid_field", "data.model")
    for part in ("768p for hailuo23fast", "720p, 1080p for wan25fast"):
        assert part in error.message


@pytest.mark.parametrize("model", [[], ["pika"] * 2, ["pika", "Pika"], ["a"] * 9, 7, {}, ["pika", None], ["pika", ""]])
def test_a_list_of_models_is_short_and_without_duplicates(model: Any) -> None:
    error = refusal("image-to-video", model=model)
    assert (error.code, error.field.split(".")[1] if error.field else "") == ("invalid_field", "model")


def test_a_list_of_one_model_is_the_same_request_as_its_name() -> None:
    assert read("image-to-video", model=["pika"]) == read("image-to-video", model="pika") == read("image-to-video")


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("https://cdn.example/a.jpg", "https://cdn.example/a.jpg"),
        ("https:&#x2F;&#x2F;cdn.example&#x2F;a.jpg?w&#x3D;1&amp;h&#x3D;2", "https://cdn.example/a.jpg?w=1&h=2"),
        ("https:&#47;&#47;cdn.example/a.jpg", "https://cdn.example/a.jpg"),
        ("https://cdn.example/a.jpg?x=1&copy=2&lt=3", "https://cdn.example/a.jpg?x=1&copy=2&lt=3"),
        ("https://cdn.example/a.jpg?q=&amp;amp;", "https://cdn.example/a.jpg?q=&amp;"),
    ],
)
def test_the_older_name_of_an_image_is_read_with_and_without_escapes(written: str, means: str) -> None:
    data = read("image-to-video", image=..., image_id=written)
    assert data == read("image-to-video", image=means)


def test_an_image_given_under_two_names_must_be_the_same() -> None:
    assert read("image-to-video", image_id=IMAGE).image == IMAGE
    assert refusal("image-to-video", image_id="s3://inbox/other.jpg").field == "data.image_id"
    assert refusal("image-to-video", image=..., image_id=7).field == "data.image_id"
    assert refusal("image-to-video", image=..., image_id="cover.jpg").field == "data.image"
    assert refusal("image-to-video", image=...).code == "missing_field"


def test_an_escape_in_an_image_is_part_of_its_key() -> None:
    assert read("image-to-video", image="s3://inbox/a&amp;b.jpg").image == "s3://inbox/a&amp;b.jpg"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ([f"m{number}" for number in range(10_000)], "data.model: may have at most 8 items, has 10,000"),
        ([], "data.model: needs at least 1 item, has 0"),
        (["pika", 5], "data.model.1: must be a string"),
        (["x" * 200], "data.model.0: must have at most 128 characters"),
        ("x" * 200, "data.model: must have at most 128 characters"),
        (5, "data.model: must be a string"),
    ],
)
def test_a_model_that_is_not_a_name_is_refused_with_the_reason(model: Any, message: str) -> None:
    error = refusal("image-to-video", model=model)
    assert error.message.startswith(message)
    assert error.field == message.partition(":")[0]


def test_a_field_with_the_name_of_a_value_type_keeps_its_name() -> None:
    for name in ("str", "float"):
        assert refusal("image-to-video", parameters={name: [1]}).field == f"data.parameters.{name}"
        assert refusal("image-to-video", **{name: 1}).field == f"data.{name}"


def test_additional_parameters_of_a_model_have_its_own_names() -> None:
    assert read("image-to-video", parameters={"motion": 4, "guidanceScale": 7.5}).explicit_parameters()["motion"] == 4
    error = refusal("image-to-video", parameters={"motion": 5})
    assert (error.field, error.message) == (
        "data.parameters.motion",
        "data.parameters.motion: must be from 1 to 4 for pika",
    )
    assert "it takes prompt, frameRate, motion" in refusal("image-to-video", parameters={"zoom": 1}).message
    assert refusal("image-to-video", parameters={"style": "x"}).field == "data.parameters.style"
    assert refusal("image-to-video", duration=5).field == "data.duration"
    again = refusal("image-to-video", prompt="x", parameters={"prompt": "y"})
    assert (again.code, again.field) == ("invalid_field", "data.parameters.prompt")
    bad: dict[str, Any]
    for bad in ({"a b": 1}, {"a": {}}, {"a": [1]}, {str(n): 1 for n in range(3)}, {f"a{n}": 1 for n in range(33)}):
        assert refusal("image-to-video", parameters=bad).code == "invalid_field"


def test_an_empty_parameter_that_is_not_a_text_is_absent_gap_M1() -> None:
    pika = CATALOGUE.find("pika", "image-to-video")
    given = read("image-to-video", parameters={"motion": "", "frameRate": "", "style": None}, prompt="x")
    values = pika.checked(given.explicit_parameters(), given.field_path)
    assert values == pika.checked({"prompt": "x"})
    assert refusal("image-to-video", parameters={"motion": " "}).field == "data.parameters.motion"


def test_every_invalid_parameter_of_a_model_is_named_M12() -> None:
    error = refusal("image-to-video", prompt="x", parameters={"motoin": 4, "frameRate": 0, "motion": 9})
    assert (error.code, error.field) == ("invalid_field", "data.parameters.motoin")
    assert "(did you mean motion?)" in error.fields[0].message
    assert [field.path.rpartition(".")[2] for field in error.fields] == ["motoin", "frameRate", "motion"]
    assert "does not exist (did you mean pika?)" in refusal("image-to-video", model="pikka").message


def test_captions_need_lyrics_only_if_they_are_not_transcribed() -> None:
    for mode in ("auto", "elevenlabs"):
        read("audio-to-captions", alignment_mode=mode)
    assert refusal("audio-to-captions", alignment_mode="even").code == "lyrics_required"
    assert refusal("audio-to-captions", alignment_mode="local").code == "lyrics_required"
    assert read("audio-to-captions", lyrics="a\\nb\r\nc").lyrics == "a\nb\nc"


def test_an_image_needs_a_gpu_worker_only_if_a_local_model_may_make_it(tmp_path: Path) -> None:
    entry = {"id": "flux", "provider": "replicate", "types": ["text-to-image"], "parameters": {"prompt": {}}}
    runtime = build_runtime(Settings(home=tmp_path, models=[entry]))
    roles = {}
    for names in ("flux", "demo-shapes", ["flux", "demo-shapes"]):
        data = {"prompt": "a kite", "model": names}
        request = parse_request(json.dumps({"id": "a", "type": "text-to-image", "data": data}).encode())
        assert isinstance(request, Request)
        role_of = admission_policy(runtime).role_of
        assert role_of is not None
        roles[str(names)] = role_of(request)
    runtime.close()
    assert list(roles.values()) == ["io", "gpu", "gpu"]


@pytest.mark.parametrize("kind", sorted(LEAST))
def test_unknown_parameters_are_named(kind: str) -> None:
    error = refusal(kind, zoom=2)
    assert (error.code, error.field) == ("unknown_field", "data.zoom")
