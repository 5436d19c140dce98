"""The five source systems' parameters, with their defaults and ranges, and their error messages still work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from consumer.storage.atomic_copy import check_size
from pipelines.memory_context import MemoryContext
from pipelines.models.matching import candidates
from pipelines.registry import PIPELINES
from providers.local.memory_errors import insufficient_memory
from providers.local.system_report import system_report
from providers.registry import catalogue_of
from schemas.envelope import Request
from schemas.errors import RequestError, TelecineError
from schemas.generation import Generation
from schemas.parse import parse_request
from schemas.settings import Settings
from tests.contract.source_systems import AUDIO, CALLS, IMAGE, Call, Parameter
from tests.media_probe import write_wav
from tests.pages import Fence, fences

CATALOGUE = catalogue_of(Settings())
PAIRS = [(call, parameter) for call in CALLS for parameter in call.parameters]
EXAMPLES = [fence for fence in fences("json", "request") if fence.page.name.startswith("migrating-from-")]
EACH_CALL = pytest.mark.parametrize("call", CALLS, ids=str)
#: Error codes for a missing required field.
MISSING = {"missing_field", "invalid_field", "consent_required"}


def each_parameter(chosen: Callable[[Call, Parameter], object] = lambda call, parameter: True) -> pytest.MarkDecorator:
    """Parametrize a test with each parameter of each call, or with the ``chosen`` ones."""
    cases = [pytest.param(*pair, id=f"{pair[0]}: {pair[1].name}") for pair in PAIRS if chosen(*pair)]
    return pytest.mark.parametrize(("call", "parameter"), cases)


def read(call: Call, *, without: str | None = None, **changes: Any) -> Any:
    """Parse and check a request with the call's required fields and ``changes``; return its data."""
    data = {**call.model, **call.required, **changes}
    data.pop(without or "", None)
    request = parse_request(json.dumps({"id": "a", "type": call.type, "data": data}).encode())
    assert isinstance(request, Request)
    PIPELINES[call.type].check(request.data, call.type, CATALOGUE)
    return request.data


def values(call: Call, data: Any) -> dict[str, Any]:
    """Return the values that the job uses: the request's fields and the model's defaults for the others."""
    named: dict[str, Any] = data.model_dump()
    if not isinstance(data, Generation):
        return named
    stand_in = {"prompt": "a picture"} if named.get("prompt") is None else {}
    _, sent = candidates(data.models, {**stand_in, **data.explicit_parameters()}, call.type, CATALOGUE)[0]
    return named | {name: value for name, value in sent.items() if name not in stand_in}


def refusal(call: Call, **changes: Any) -> RequestError:
    """Return the error of a request with these changes."""
    with pytest.raises(RequestError) as caught:
        read(call, **changes)
    return caught.value


@EACH_CALL
def test_the_fields_that_the_source_requires_are_enough(call: Call) -> None:
    read(call)


@pytest.mark.parametrize(
    ("call", "name"), [pytest.param(call, name, id=f"{call}: {name}") for call in CALLS for name in call.required]
)
def test_the_error_names_a_missing_required_field(call: Call, name: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(call, without=name)
    assert caught.value.field == f"data.{name}"
    assert caught.value.code in MISSING


@each_parameter()
def test_each_default_is_that_of_the_source(call: Call, parameter: Parameter) -> None:
    if parameter.name not in call.required:
        assert values(call, read(call)).get(parameter.name) == parameter.default


@each_parameter()
def test_each_value_of_the_source_is_accepted_unchanged(call: Call, parameter: Parameter) -> None:
    for value in parameter.good:
        assert values(call, read(call, **call.also_sent | {parameter.name: value}))[parameter.name] == value


@each_parameter(lambda call, parameter: parameter.empty)
def test_an_empty_field_is_the_same_as_an_omitted_one(call: Call, parameter: Parameter) -> None:
    for value in parameter.empty:
        assert read(call, **{parameter.name: value}) == read(call)


@each_parameter(lambda call, parameter: call.form)
def test_a_form_field_as_text_means_the_same(call: Call, parameter: Parameter) -> None:
    for value in parameter.good:
        written = json.dumps(value) if isinstance(value, bool) else str(value)
        assert read(call, **call.also_sent | {parameter.name: written}) == read(
            call, **call.also_sent | {parameter.name: value}
        )


@each_parameter()
def test_a_value_out_of_range_is_refused_with_the_range(call: Call, parameter: Parameter) -> None:
    for value, says in parameter.bad:
        error = refusal(call, **call.also_sent | {parameter.name: value})
        assert (error.code, error.field) == (
            "unknown_model" if parameter.name == "model" else "invalid_field",
            f"data.{parameter.name}",
        )
        assert says in error.message


def test_the_image_of_i2v_is_read_escaped_or_not() -> None:
    (call,) = [call for call in CALLS if call.name.startswith("I2V")]
    for written in ("https://cdn.example/image.jpg", "https:&#x2F;&#x2F;cdn.example&#x2F;image.jpg"):
        assert read(call, without="image", image_id=written) == read(call)


def test_the_intervals_and_urls_of_i2v_keep_their_names_and_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().pika_base_url == "https://api.pikapikapika.io/web"
    for name, attribute, default in (
        ("INITIAL_WAIT_TIME", "pika_first_wait_seconds", 300),
        ("MAX_CHECK_TIME", "pika_check_seconds", 420),
    ):
        assert getattr(Settings(), attribute) == default
        monkeypatch.setenv(name, "7")
        assert getattr(Settings(), attribute) == 7


@pytest.mark.parametrize("fence", EXAMPLES, ids=str)
def test_each_request_in_the_migration_pages_is_accepted(fence: Fence) -> None:
    request = parse_request(fence.text.encode())
    assert isinstance(request, Request)
    PIPELINES[request.type].check(request.data, request.type, CATALOGUE)


def test_each_source_system_has_a_page_with_a_request() -> None:
    assert len({fence.page for fence in EXAMPLES}) == 5


@pytest.mark.parametrize("consent", [False, "false", None])
def test_a_local_film_without_consent_is_refused(consent: Any) -> None:
    for call in CALLS:
        if "lawful_use_consent" in call.required:
            assert refusal(call, lawful_use_consent=consent).code == "consent_required"


def test_a_story_is_planned_with_the_numbers_of_its_source(tmp_path: Path) -> None:
    (call,) = [call for call in CALLS if call.type == "story-to-video"]
    data = read(call, scenes=["Scene 1", "Scene 2", "Scene 3"], duration_per_scene=3.0, fps=24, transition_frames=12)
    planned = PIPELINES[call.type].plan(data, MemoryContext(tmp_path, call.type, catalogue=CATALOGUE))
    expected = {
        "scenes_count": 3,
        "frames_per_scene": 72,
        "transition_frames": 12,
        "total_frames": 240,
        "total_duration_seconds": 10.0,
        "fps": 24,
        "resolution": "512x512",
        "estimated_generation_time_seconds": 15,
    }
    assert {name: planned.details[name] for name in expected} == expected
    assert (planned.frames, planned.duration_seconds) == (240, 10.0)


def test_the_machine_is_described_with_the_local_video_services_names(tmp_path: Path) -> None:
    report = system_report(MemoryContext(tmp_path, "").host, [])
    names = "cuda_available device_name total_vram_gb free_vram_gb used_vram_gb"
    assert {*names.split(), "cpu_percent", "ram_available_gb", "ram_total_gb", "backend"} <= set(report)


@pytest.mark.parametrize(
    ("kind", "data", "code", "message"),
    [
        ("reel", {"image": "film.mp4"}, "invalid_image", "Image must be JPG or PNG"),
        ("reel", {"audio": "song.mid"}, "invalid_audio", "Audio must be MP3, WAV, or FLAC"),
        ("reel", {"lyrics": " ", "alignment_mode": "even"}, "lyrics_required", "Lyrics text is required"),
        ("reel", {"alignment_mode": "elevenlabs"}, "provider_not_configured", "ElevenLabs API key is required"),
        ("reel", {"alignment_mode": "auto"}, "provider_not_configured", "ElevenLabs API key is required"),
        (
            "audio-to-video",
            {"image": "film.mp4"},
            "invalid_image",
            "Invalid image file type. Allowed: JPEG, PNG, WebP. Got: video/mp4",
        ),
        (
            "audio-to-video",
            {"audio": "song.ogg"},
            "invalid_audio",
            "Invalid audio file type. Allowed: MP3, WAV. Got: audio/ogg",
        ),
    ],
)
def test_an_error_has_the_message_of_its_source(
    tmp_path: Path, kind: str, data: dict[str, Any], code: str, message: str
) -> None:
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "picture.jpg")
    write_wav(tmp_path / "song.wav", 1.0)
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(64))
    (tmp_path / "song.ogg").write_bytes(b"OggS" + bytes(64))
    (tmp_path / "song.mid").write_bytes(b"MThd" + bytes(64))
    files = {IMAGE: tmp_path / data.get("image", "picture.jpg"), AUDIO: tmp_path / data.get("audio", "song.wav")}
    request = {"id": "a", "type": kind, "data": {**data, "image": IMAGE, "audio": AUDIO}}

    def run() -> None:
        parsed = parse_request(json.dumps(request).encode())
        assert isinstance(parsed, Request)
        PIPELINES[kind].run(parsed.data, MemoryContext(tmp_path, kind, files, CATALOGUE))

    error = raised(run)
    assert (error.code, error.message) == (code, message)


def test_a_file_that_is_too_large_has_the_reel_creators_message() -> None:
    error = raised(lambda: check_size(104_857_601, 104_857_600))
    assert error.code == "file_too_large"
    assert error.message == "File too large: 104,857,601 bytes, at most 104,857,600 are allowed"


def raised(work: Callable[[], object]) -> TelecineError:
    """Call ``work`` and return the error that it raises."""
    with pytest.raises(TelecineError) as caught:
        work()
    return caught.value


def test_a_model_that_does_not_fit_has_the_local_video_services_message() -> None:
    error = insufficient_memory("mochi", 6_000_000_000, 4_200_000_000)
    assert (error.code, error.message) == (
        "insufficient_vram",
        "Insufficient VRAM: mochi needs ~6.0GB, but only 4.2GB available.",
    )
