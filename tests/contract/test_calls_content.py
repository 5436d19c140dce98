"""A result inside the provider's response is kept in the ledger until it is stored."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from consumer.calls import fetching, retry_policy
from consumer.ledger.states import CallState, State
from pipelines.context import OutputSpec
from pipelines.media.inspect.in_child import probe
from providers.base import Call, Ready, TaskRef
from schemas.errors import (
    InternalError,
    OutOfMemory,
    OutputExists,
    OutputForbidden,
    RenderFailed,
    RenderTimeout,
    StorageUnavailable,
    TelecineError,
)
from schemas.media import MediaFacts
from tests import ask_pipeline
from tests.call_line import Line
from tests.doubles.films import small_film
from tests.media_probe import ffmpeg


def answer_synchronously(line: Line, content: bytes) -> None:
    accept = line.alpha.submit

    async def submit(call: Call) -> TaskRef | Ready:
        await accept(call)
        return Ready(content=content)

    line.alpha.submit = submit  # type: ignore[method-assign]


def test_a_film_inside_the_response_is_stored_after_the_storage_was_unavailable(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = small_film()
    answer_synchronously(line, film)
    faults, store = [StorageUnavailable(), StorageUnavailable()], fetching._store

    def away(*parts: object) -> object:
        if faults:
            raise faults.pop()
        return store(*parts)  # type: ignore[arg-type]

    monkeypatch.setattr(fetching, "_store", away)
    job = line.finished(data={"film": True})
    assert (job.state, line.alpha.charges.total(), line.call().state) == (State.COMPLETED, 1, CallState.DONE)
    folder = line.runtime.settings.storage_folder / "results" / "j"
    assert (folder / "film.mp4").read_bytes() == film
    assert base64.b64encode(film[:300]).decode()[:300] not in repr(line.call())


@pytest.mark.parametrize("is_whole", [True, False], ids=["F7-workflow-of-1.3MB", "F7-control-half"])
def test_a_paid_picture_is_judged_by_its_pixels(is_whole: bool, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    info, file = PngInfo(), io.BytesIO()
    info.add_text("workflow", '{"nodes": []}' * 100_000, zip=True)
    Image.effect_noise((64, 64), 90).save(file, "PNG", pnginfo=info)
    picture = file.getvalue() if is_whole else file.getvalue()[:-2000]
    monkeypatch.setattr(ask_pipeline, "OutputSpec", lambda *_: OutputSpec("picture.png", ("png",)))
    answer_synchronously(line, picture)
    job = line.finished(data={"film": True, "models": ["first"]})
    assert line.alpha.charges.total() == 1
    if is_whole:
        assert job.state == State.COMPLETED
        assert (line.runtime.settings.storage_folder / "results" / "j" / "picture.png").read_bytes() == picture
    else:
        assert (job.state, (job.error or {})["code"]) == (State.FAILED, "provider_result_invalid")


@pytest.mark.parametrize("problem", [OutputForbidden, OutputExists, InternalError])
def test_a_film_that_cannot_be_stored_is_kept_for_the_operator_and_no_other_model_is_paid(
    problem: type[TelecineError], line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_synchronously(line, small_film())
    monkeypatch.setattr(retry_policy, "backoff", lambda failures: 0.01)
    faults, store = [problem("closed") for _ in range(8)], fetching._store

    def closed(*parts: object) -> object:
        if faults:
            raise faults.pop()
        return store(*parts)  # type: ignore[arg-type]

    monkeypatch.setattr(fetching, "_store", closed)
    job = line.finished(data={"film": True, "models": ["first", "second"]})
    assert (job.state, line.alpha.charges.total(), line.beta.charges.total()) == (State.COMPLETED, 1, 0)


def test_a_film_is_kept_while_the_storage_is_unavailable_for_long(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_synchronously(line, small_film())
    monkeypatch.setattr(retry_policy, "backoff", lambda failures: 0.01)
    faults, store = [StorageUnavailable() for _ in range(30)], fetching._store

    def away(*parts: object) -> object:
        if faults:
            raise faults.pop()
        return store(*parts)  # type: ignore[arg-type]

    monkeypatch.setattr(fetching, "_store", away)
    job = line.finished(data={"film": True, "models": ["first", "second"]})
    assert (job.state, line.alpha.charges.total(), line.beta.charges.total()) == (State.COMPLETED, 1, 0)


def test_a_film_that_can_never_be_stored_fails_the_job_and_no_other_model_is_paid(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_synchronously(line, small_film())
    monkeypatch.setattr(retry_policy, "backoff", lambda failures: 0.01)
    monkeypatch.setattr(retry_policy, "AWAY_TRIES", 20)

    def closed(*parts: object) -> object:
        raise StorageUnavailable

    monkeypatch.setattr(fetching, "_store", closed)
    job = line.finished(data={"film": True, "models": ["first", "second"]})
    assert (job.state, line.alpha.charges.total(), line.beta.charges.total()) == (State.FAILED, 1, 0)
    assert (line.call().spent, line.call().reserved) == (100_000, 0)


@pytest.mark.parametrize("content", [b"", b"<!doctype html><title>Sign in</title>"])
def test_a_response_without_a_film_is_an_invalid_result(content: bytes, line: Line) -> None:
    answer_synchronously(line, content)
    job = line.finished(data={"film": True, "models": ["first"]})
    assert (job.state, (job.error or {})["code"]) == (State.FAILED, "provider_result_invalid")


@pytest.mark.parametrize(
    ("problem", "times"),
    [(RenderFailed, 999), (RenderTimeout, 999), (OutOfMemory, 999), (OutOfMemory, 2)],
)
def test_a_film_that_this_worker_cannot_inspect_is_kept_and_no_other_model_is_paid_attack_2(
    problem: type[TelecineError], times: int, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = small_film()
    answer_synchronously(line, film)
    monkeypatch.setattr(retry_policy, "backoff", lambda failures: 0.01)
    faults = [problem() for _ in range(times)]

    def broken(*arguments: Any) -> MediaFacts:
        if faults:
            raise faults.pop()
        return probe(*arguments)

    monkeypatch.setattr(fetching, "probe", broken)
    job = line.finished(data={"film": True, "models": ["first", "second"]})
    assert (job.state, line.alpha.charges.total(), line.beta.charges.total()) == (State.COMPLETED, 1, 0)
    assert (line.runtime.settings.storage_folder / "results" / "j" / "film.mp4").read_bytes() == film
    (output,) = (output for output in (job.outcome or {})["outputs"] if output["name"] == "film.mp4")
    assert output.get("frames") == (None if times == 999 else 24)


def test_a_film_with_a_title_in_latin_1_is_a_result_attack_2(line: Line, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(small_film())
    ffmpeg("-i", str(tmp_path / "film.mp4"), "-c", "copy", "-metadata", "title=MotXrhead", str(tmp_path / "tagged.mp4"))
    answer_synchronously(line, (tmp_path / "tagged.mp4").read_bytes().replace(b"MotXrhead", b"Mot\xf6rhead"))
    job = line.finished(data={"film": True, "models": ["first", "second"]})
    assert (job.state, line.alpha.charges.total(), line.beta.charges.total()) == (State.COMPLETED, 1, 0)
    assert [output["width"] for output in (job.outcome or {})["outputs"] if output["name"] == "film.mp4"] == [96]


def test_a_damaged_film_is_still_an_invalid_result_control(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policy, "backoff", lambda failures: 0.01)
    answer_synchronously(line, small_film()[:1500])
    job = line.finished(data={"film": True, "models": ["first"]})
    assert (job.state, (job.error or {})["code"]) == (State.FAILED, "provider_result_invalid")
