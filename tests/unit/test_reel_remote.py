"""Where a reel is render_local_or_remote, and what the endpoint is told: without an endpoint."""

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
    RenderTimeout,
    TelecineError,
)
from schemas.media import StoredArtifact
from schemas.settings import Settings
from tests.doubles.runpod import CAPTIONS
from tests.media_probe import input_file, reel_data, write_photo, write_wav

HEARD = Timing("la la", "transcription", (Times(0.5, 1.0), None))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_photo(tmp_path / "cover.png", 64, 64), write_wav(tmp_path / "song.wav", 0.2)


def context(tmp_path: Path, *, film: Path | None = None, texts: Any = CAPTIONS) -> MemoryContext:
    """A worker's context, with an endpoint if ``film`` is what it makes."""

    def answer(asked: RecordedCall) -> Any:
        assert film is not None
        return film

    found = Endpoint(
        tmp_path, "reel", catalogue=Catalogue(MODELS), answers={} if film is None else {"runpod-reel": answer}
    )
    found.texts = texts
    return found


class Endpoint(MemoryContext):
    """Answers with a film and texts at once, which the twin itself does not."""

    texts: Any = None

    def call(self, name: str, call: ModelCall) -> ModelResult:
        return dataclasses.replace(super().call(name, call), value=self.texts)


def ask(
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
def test_a_reel_is_rendered_here_even_where_there_is_an_endpoint(
    tmp_path: Path, files: tuple[Path, Path], renderer: str
) -> None:
    ctx = context(tmp_path, film=files[0])
    assert ask(ctx, files, local, Timing("la"), renderer=renderer) == local()
    assert ctx.calls == []


@pytest.mark.parametrize(("renderer", "here"), [("runpod", local), ("auto", too_large)])
def test_the_endpoint_gets_what_is_meant_for_it_and_what_does_not_fit_here(
    tmp_path: Path, files: tuple[Path, Path], renderer: str, here: Any
) -> None:
    ctx = context(tmp_path, film=files[0])
    made = ask(ctx, files, here, Timing("la la"), renderer=renderer)
    assert [artifact.name for artifact in made] == ["video.mp4", "captions.srt", "captions.vtt"]
    assert (tmp_path / made[1].name).read_text() == CAPTIONS["captions.srt"]
    (asked,) = ctx.calls
    assert set(asked.inputs) == {"image", "audio"}
    assert "s3://bucket" not in asked.parameters["film"]


@pytest.mark.parametrize("renderer", ["auto", "local"])
def test_what_does_not_fit_here_says_so_where_there_is_no_endpoint(
    tmp_path: Path, files: tuple[Path, Path], renderer: str
) -> None:
    with pytest.raises(OutOfMemory, match="more than it may"):
        ask(context(tmp_path), files, too_large, Timing("la"), renderer=renderer)


def test_a_local_reel_never_leaves_this_worker(tmp_path: Path, files: tuple[Path, Path]) -> None:
    ctx = context(tmp_path, film=files[0])
    with pytest.raises(OutOfMemory):
        ask(ctx, files, too_large, Timing("la"), renderer="local")
    assert ctx.calls == []


def test_other_troubles_of_the_renderer_are_not_paid_for_elsewhere(tmp_path: Path, files: tuple[Path, Path]) -> None:
    def late() -> Sequence[StoredArtifact]:
        raise RenderTimeout

    ctx = context(tmp_path, film=files[0])
    with pytest.raises(RenderTimeout):
        ask(ctx, files, late, Timing("la"))
    assert ctx.calls == []


def test_asking_for_an_endpoint_that_is_not_there_says_so(tmp_path: Path, files: tuple[Path, Path]) -> None:
    with pytest.raises(ProviderNotConfigured):
        ask(context(tmp_path), files, local, Timing("la"), renderer="runpod")


@pytest.mark.parametrize("texts", [None, "x", {}, {"captions.srt": "a"}, {**CAPTIONS, "captions.vtt": 7}])
def test_an_answer_without_its_captions_is_no_result(tmp_path: Path, files: tuple[Path, Path], texts: Any) -> None:
    ctx = context(tmp_path, film=files[0], texts=texts)
    with pytest.raises(ProviderResultInvalid, match="another version"):
        ask(ctx, files, local, Timing("la"), renderer="runpod")


def test_words_that_were_heard_come_back_as_well(tmp_path: Path, files: tuple[Path, Path]) -> None:
    ctx = context(tmp_path, film=files[0], texts={**CAPTIONS, "words.json": "[]"})
    made = ask(ctx, files, local, HEARD, renderer="runpod")
    assert [artifact.name for artifact in made][-1] == "words.json"


def test_the_endpoint_reads_what_was_written_for_it() -> None:
    data = reel_data("la la", renderer="runpod", debug_mode=True, language="pt-BR", font_color="#ff8800")
    read, timing = read_film(write_film(data, HEARD))
    assert timing == HEARD
    own = {"image", "audio", "lyrics", "alignment_mode", "renderer"}
    assert read.model_dump(exclude=own) == data.model_dump(exclude=own)


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
def test_the_handler_refuses_what_is_no_job_of_telecine(tmp_path: Path, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(TelecineError) as refused:
        renderer(tmp_path).render(job(**changes), lambda _: None)
    assert refused.value.code == code
    json.dumps(refused.value.as_record())


def test_a_handler_whose_films_nobody_could_fetch_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="TELECINE_STORAGE=s3"):
        open_renderer(Settings(home=tmp_path))
