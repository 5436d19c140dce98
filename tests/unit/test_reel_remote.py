"""Where a reel is rendered, and the request to the endpoint. No endpoint is needed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from consumer.storage.memory import MemoryStorage
from ops.runpod.renderer import ReelRenderer, open_renderer
from pipelines.context import ModelCall, ModelResult
from pipelines.media.captions.matching import Times
from pipelines.media.sandbox.process import DEFAULT_BOUNDS
from pipelines.memory_context import MemoryContext, RecordedCall
from pipelines.models.alignment import Timing
from pipelines.models.remote_reel import read_film, render_local_or_remote, write_film
from providers.catalogue import Catalogue
from providers.http.downloads import GuardedClient
from providers.http.policy import Policy
from providers.runpod.models import MODELS
from schemas.errors import (
    ConfigurationError,
    OutOfMemory,
    ProviderNotConfigured,
    ProviderResultInvalid,
    RenderKilled,
    RenderTimeout,
    TelecineError,
)
from schemas.media import MediaFacts, StoredArtifact
from schemas.settings import Settings
from tests.doubles.runpod import CAPTIONS
from tests.media_probe import input_file, reel_data, write_photo, write_wav

HEARD = Timing("la la", "transcription", (Times(0.5, 1.0), None))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_photo(tmp_path / "cover.png", 64, 64), write_wav(tmp_path / "song.wav", 0.2)


def context(tmp_path: Path, *, film: Path | None = None, texts: Any = CAPTIONS) -> Endpoint:
    """Return a context; with ``film``, an endpoint is configured and returns that video."""

    def answer(call: RecordedCall) -> Any:
        assert film is not None
        return film

    found = Endpoint(
        tmp_path, "reel", catalogue=Catalogue(MODELS), answers={} if film is None else {"runpod-reel": answer}
    )
    found.texts = texts
    return found


class Endpoint(MemoryContext):
    """A context whose endpoint returns a video and texts together."""

    texts: Any = None
    facts = MediaFacts()

    def call(self, name: str, call: ModelCall) -> ModelResult:
        made = super().call(name, call)
        artifact = None if made.artifact is None else made.artifact.model_copy(update={"facts": self.facts})
        return dataclasses.replace(made, value=self.texts, artifact=artifact)


def render(
    ctx: MemoryContext, files: tuple[Path, Path], here: Any, timing: Timing, **options: Any
) -> Sequence[StoredArtifact]:
    image, audio = files
    data = reel_data("la la", **options)
    return render_local_or_remote(data, input_file(image, "image"), input_file(audio, "audio"), timing, ctx, here)


def local() -> Sequence[StoredArtifact]:
    return [
        StoredArtifact(name="video.mp4", content_type="video/mp4", uri="s3://r/video.mp4", sha256="0" * 64, bytes=1)
    ]


def too_large() -> Sequence[StoredArtifact]:
    raise OutOfMemory("it needs more than it may")


@pytest.mark.parametrize("renderer", ["auto", "local"])
def test_auto_and_local_render_on_the_worker(tmp_path: Path, files: tuple[Path, Path], renderer: str) -> None:
    ctx = context(tmp_path, film=files[0])
    assert render(ctx, files, local, Timing("la"), renderer=renderer) == local()
    assert ctx.calls == []


@pytest.mark.parametrize(("renderer", "here"), [("runpod", local), ("auto", too_large)])
def test_the_endpoint_renders_on_request_or_if_memory_is_short(
    tmp_path: Path, files: tuple[Path, Path], renderer: str, here: Any
) -> None:
    ctx = context(tmp_path, film=files[0])
    made = render(ctx, files, here, Timing("la la"), renderer=renderer)
    assert [artifact.name for artifact in made] == ["video.mp4", "captions.srt", "captions.vtt", "cover.jpg"]
    assert (tmp_path / made[1].name).read_text() == CAPTIONS["captions.srt"]
    (call,) = ctx.calls
    assert set(call.inputs) == {"image", "audio"}
    assert "s3://bucket" not in call.parameters["film"]


@pytest.mark.parametrize("renderer", ["auto", "local"])
def test_too_little_memory_without_an_endpoint_fails(tmp_path: Path, files: tuple[Path, Path], renderer: str) -> None:
    with pytest.raises(OutOfMemory, match="more than it may"):
        render(context(tmp_path), files, too_large, Timing("la"), renderer=renderer)


def test_local_never_uses_the_endpoint(tmp_path: Path, files: tuple[Path, Path]) -> None:
    ctx = context(tmp_path, film=files[0])
    with pytest.raises(OutOfMemory):
        render(ctx, files, too_large, Timing("la"), renderer="local")
    assert ctx.calls == []


@pytest.mark.parametrize("renderer", ["auto", "local"])
def test_a_render_that_was_killed_is_never_paid_for_attack_1(
    tmp_path: Path, files: tuple[Path, Path], renderer: str
) -> None:
    def killed() -> Sequence[StoredArtifact]:
        raise RenderKilled

    ctx = context(tmp_path, film=files[0])
    with pytest.raises(RenderKilled):
        render(ctx, files, killed, Timing("la"), renderer=renderer)
    assert ctx.calls == []


def test_other_render_errors_do_not_use_the_endpoint(tmp_path: Path, files: tuple[Path, Path]) -> None:
    def late() -> Sequence[StoredArtifact]:
        raise RenderTimeout

    ctx = context(tmp_path, film=files[0])
    with pytest.raises(RenderTimeout):
        render(ctx, files, late, Timing("la"))
    assert ctx.calls == []


def test_runpod_without_an_endpoint_fails(tmp_path: Path, files: tuple[Path, Path]) -> None:
    with pytest.raises(ProviderNotConfigured):
        render(context(tmp_path), files, local, Timing("la"), renderer="runpod")


@pytest.mark.parametrize("texts", [None, "x", {}, {"captions.srt": "a"}, {**CAPTIONS, "captions.vtt": 7}])
def test_a_result_without_captions_is_invalid(tmp_path: Path, files: tuple[Path, Path], texts: Any) -> None:
    ctx = context(tmp_path, film=files[0], texts=texts)
    with pytest.raises(ProviderResultInvalid, match="another version"):
        render(ctx, files, local, Timing("la"), renderer="runpod")


@pytest.mark.parametrize(("lyrics", "lost"), [("la", []), ("la --> la\nla", ["1 of 2"])])
def test_captions_that_the_endpoint_leaves_out_are_in_the_manifest_gap_L1(
    tmp_path: Path, files: tuple[Path, Path], lyrics: str, lost: list[str]
) -> None:
    ctx = context(tmp_path, film=files[0])
    render(ctx, files, local, Timing(lyrics), renderer="runpod", timing_offset=-0.1)
    warnings = [f"timing_offset -0.1 moves {some} captions out of the audio; they are not shown" for some in lost]
    assert ctx.manifest_details.get("warnings", []) == warnings


def test_aligned_words_are_part_of_the_result(tmp_path: Path, files: tuple[Path, Path]) -> None:
    ctx = context(tmp_path, film=files[0], texts={**CAPTIONS, "words.json": "[]"})
    made = render(ctx, files, local, HEARD, renderer="runpod")
    assert [artifact.name for artifact in made][-2:] == ["words.json", "cover.jpg"]


@pytest.mark.parametrize("case", ["here", "deleted", "memory"])
def test_the_worker_draws_the_cover_if_it_can(tmp_path: Path, files: tuple[Path, Path], case: str) -> None:
    ctx = context(tmp_path, film=files[0])
    image, audio = input_file(files[0], "image"), input_file(files[1], "audio")
    if case == "deleted":
        files[0].rename(tmp_path / "film.png")
        ctx.answers = {"runpod-reel": lambda _: tmp_path / "film.png"}
    if case == "memory":
        ctx.bounds = dataclasses.replace(DEFAULT_BOUNDS, memory_bytes=300 * 1024**2)
    side = 3840 if case == "memory" else 480
    data = reel_data("la la", renderer="runpod", width=side, height=side)
    made = render_local_or_remote(data, image, audio, Timing("la la"), ctx, local)
    assert ("cover.jpg" in [artifact.name for artifact in made]) is (case == "here")


def test_further_images_are_sent_to_the_endpoint_without_their_uris(tmp_path: Path, files: tuple[Path, Path]) -> None:
    ctx = context(tmp_path, film=files[0])
    image, audio = input_file(files[0], "image"), input_file(files[1], "audio")
    further = {"images.0.image": input_file(write_photo(tmp_path / "b.jpg", 90, 90), "images.0.image")}
    data = reel_data("la la", renderer="runpod", images=[{"image": "s3://secret/b.jpg", "at": 0.1}])
    render_local_or_remote(data, image, audio, Timing("la la"), ctx, local, further)
    (call,) = ctx.calls
    assert set(call.inputs) == {"image", "audio", "images.0.image"}
    assert "secret" not in call.parameters["film"]
    assert read_film(call.parameters["film"])[0].images[0].at == 0.1
    with pytest.raises(TelecineError, match=r"images\.0\.image is missing: are worker and endpoint of the same"):
        renderer(tmp_path).render(job(parameters={"film": call.parameters["film"]}), lambda _: None)


def test_the_film_parameter_round_trips() -> None:
    data = reel_data("la la", renderer="runpod", debug_mode=True, language="pt-BR", font_color="#ff8800")
    read, timing = read_film(write_film(data, HEARD))
    assert timing == HEARD
    own = {"image", "audio", "lyrics", "alignment_mode", "renderer"}
    assert read.model_dump(exclude=own) == data.model_dump(exclude=own)


def test_the_endpoint_gets_how_captions_look_and_one_of_the_version_before_reads_the_rest() -> None:
    looks = {"style": "bold", "upper_case": False, "outline": 0.05, "position": "top", "safe_area": "none"}
    read, _ = read_film(write_film(reel_data("la", fit="contain", **looks), HEARD))
    assert {name: getattr(read, name) for name in looks} == looks
    assert read.fit == "contain"
    plain = json.loads(write_film(reel_data("la"), HEARD))[0]
    assert not {*looks, "fit"} & plain.keys()


def test_an_endpoint_refuses_a_look_that_it_does_not_know(tmp_path: Path) -> None:
    film = json.loads(write_film(reel_data("la"), Timing("la")))
    film[0]["sparkles"] = True
    with pytest.raises(TelecineError, match=r"sparkles.*are worker and endpoint of the same version\?") as refused:
        renderer(tmp_path).render(job(parameters={"film": json.dumps(film)}), lambda _: None)
    assert refused.value.code == "invalid_field"


def test_an_endpoint_of_an_older_version_gets_no_new_field_reel_timing_film() -> None:
    data = reel_data("la", timing="s3://bucket/a.lrc")
    assert "timing" not in json.loads(write_film(data, HEARD))[0]
    assert read_film(write_film(data, dataclasses.replace(HEARD, source="given")))[1].source == "given"


def renderer(tmp_path: Path) -> ReelRenderer:
    return ReelRenderer(MemoryStorage(), "s3://films/", GuardedClient(Policy()), DEFAULT_BOUNDS, "skip")


def job(**changes: Any) -> dict[str, Any]:
    item = {"url": "http://127.0.0.1:9/a", "content_type": "image/png", "bytes": 1, "sha256": "0" * 64}
    film = write_film(reel_data("la"), Timing("la"))
    whole = {"key": "0" * 32, "model": "runpod-reel", "parameters": {"film": film}}
    return {**whole, "inputs": {"image": item, "audio": item}, **changes}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "address_forbidden"),
        ({"key": "../../x"}, "invalid_field"),
        ({"model": "other"}, "invalid_field"),
        ({"inputs": {}}, "invalid_field"),
        ({"parameters": {"film": "{"}}, "invalid_field"),
        ({"parameters": {"film": "[{}, {}]"}}, "invalid_field"),
        ({"inputs": {"image": {"url": "file:///etc/passwd", "bytes": 1, "sha256": "0" * 64}}}, "invalid_field"),
    ],
)
def test_the_handler_rejects_invalid_jobs(tmp_path: Path, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(TelecineError) as refused:
        renderer(tmp_path).render(job(**changes), lambda _: None)
    assert refused.value.code == code
    json.dumps(refused.value.as_record())


def test_the_handler_does_not_start_without_object_storage(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="TELECINE_STORAGE=s3"):
        open_renderer(Settings(home=tmp_path))


FACTS = {"width": 270, "height": 480, "fps": 30.0, "duration_seconds": 0.2, "frames": 6}


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        pytest.param({"width": 96, "height": 64}, "its width is 96 instead of 270", id="gap_L10"),
        pytest.param({"height": 270}, "its height is 270 instead of 480", id="gap_L10-height"),
        pytest.param({"duration_seconds": 1.0}, "its length in seconds is 1 instead of 0.2", id="gap_L10-longer"),
        pytest.param({"fps": 24.0}, "its frame rate is 24 instead of 30", id="gap_L10-rate"),
        pytest.param({"duration_seconds": 0.24, "fps": 30.001}, "", id="gap_L10-rounded"),
    ],
)
def test_a_video_that_is_not_the_requested_reel_is_refused_and_not_ordered_again(
    tmp_path: Path, files: tuple[Path, Path], facts: dict[str, Any], says: str
) -> None:
    ctx = context(tmp_path, film=files[0])
    ctx.facts = MediaFacts(**FACTS | facts)
    if not says:
        assert len(render(ctx, files, local, Timing("la la"), renderer="runpod")) == 6
        return
    with pytest.raises(ProviderResultInvalid, match=says):
        render(ctx, files, local, Timing("la la"), renderer="runpod")
    assert [call.step for call in ctx.calls] == ["render-remote"]
