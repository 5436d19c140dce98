"""The provider gets the content that the worker saw, or the call is not sent."""

from __future__ import annotations

import dataclasses
import io
import json
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.admission.parsing import check_request
from consumer.ledger.records import Job
from consumer.ledger.states import CallState, State
from consumer.runtime import Runtime
from consumer.wiring import admission_policy
from pipelines.context import Context, ModelCall
from providers.base import Call, Ready
from providers.catalogue import Catalogue, Model, Parameter
from schemas.envelope import Request
from schemas.media import StoredArtifact
from schemas.parse import parse_mapping
from tests.call_line import Line
from tests.doubles.films import small_film
from tests.ledger_views import Ledger
from tests.media_probe import write_wav
from tests.servers.s3 import S3


def png(shade: int, side: int = 8) -> bytes:
    """Return a grey image."""
    into = io.BytesIO()
    Image.new("L", (side, side), shade).save(into, "PNG")
    return into.getvalue()


@pytest.fixture
def in_s3(ledger: Ledger, tmp_path: Path, s3: S3, bucket: str) -> Iterator[tuple[Line, S3]]:
    output = f"s3://{bucket}/results/"
    made = Line(ledger, tmp_path, storage="s3", s3_endpoint_url=s3.url, s3_region=s3.region, output=output)
    yield made, s3
    made.close()


def with_pipeline(runtime: Runtime, run: Callable[[Any, Context], Sequence[StoredArtifact]]) -> Runtime:
    """Return the runtime with another pipeline for jobs of type ``ask``."""
    ask = dataclasses.replace(runtime.pipelines["ask"], run=run)
    return dataclasses.replace(runtime, pipelines={**runtime.pipelines, "ask": ask})


def parked(line: Line, uri: str, *, uploaded: bool) -> None:
    """Park a job that has fetched its image and waits for its call; ``uploaded``: with the pin of an upload."""
    data = {"models": ["first", "second"], "image": uri}
    admit(line, {"id": "j", "type": "ask", "data": data}, uri if uploaded else None)
    assert line.advance() is State.WAITING


def admit(line: Line, request: dict[str, Any], uploaded: str | None) -> None:
    """Admit the request, with the pin of the uploaded object."""
    policy = admission_policy(line.runtime)
    message = IncomingMessage(json.dumps(request).encode(), "test", "q")
    parsed = parse_mapping(request)
    assert isinstance(parsed, Request)
    item = check_request(parsed, message, policy)
    if uploaded is not None:
        stored = line.runtime.storage.head(uploaded)
        assert stored is not None
        item = dataclasses.replace(item, pins={uploaded: stored.pin})
    BatchAdmitter(line.runtime.database, policy).admit_one(message, item)


def ended(line: Line) -> Job:
    """Run the line until the job has ended, and return the job."""
    line.start()
    line.until(lambda: line.call().settled)
    line.advance()
    return line.job()


def load_bytes(line: Line) -> list[bytes]:
    """Make both providers load the file; return the contents they got."""
    got: list[bytes] = []
    for provider in (line.alpha, line.beta):
        provider.before = lambda call: got.append(call.inputs["image"].load().read_bytes())
    return got


def check_refused(line: Line, job: Job, uri: str) -> None:
    error = job.error or {}
    assert (job.state, error["code"]) == (State.FAILED, "input_replaced")
    assert f"{uri} was replaced" in error["message"]
    assert (line.call().state, line.call().attempt) == (CallState.FAILED, 1)
    assert (line.alpha.charges.total(), line.beta.charges.total(), line.call().spent) == (0, 0, 0)
    assert "outcome_unknown" not in line.events()


@pytest.mark.parametrize("newer", [png(9), png(200, 99)], ids=["as large", "larger"])
def test_a_replaced_image_is_not_sent_to_any_provider_and_nothing_is_paid(line: Line, newer: bytes) -> None:
    place = line.runtime.settings.storage_folder / "inbox" / "a.png"
    place.parent.mkdir(parents=True)
    place.write_bytes(png(1))
    got = load_bytes(line)
    parked(line, "s3://inbox/a.png", uploaded=False)
    place.write_bytes(newer)
    check_refused(line, ended(line), "s3://inbox/a.png")
    assert got == []


def test_an_unchanged_image_is_sent(line: Line) -> None:
    place = line.runtime.settings.storage_folder / "inbox" / "a.png"
    place.parent.mkdir(parents=True)
    place.write_bytes(png(1))
    got = load_bytes(line)
    parked(line, "s3://inbox/a.png", uploaded=True)
    assert ended(line).state is State.COMPLETED
    assert got == [png(1)]


def test_a_provider_gets_the_uploaded_version_as_bytes_and_as_a_url(in_s3: tuple[Line, S3], bucket: str) -> None:
    line, server = in_s3
    server.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    server.client().put_object(Bucket=bucket, Key="a.png", Body=png(1))
    got = load_bytes(line)

    def reads_the_url_too(call: Call) -> None:
        with urllib.request.urlopen(call.inputs["image"].url) as answer:
            got.append(answer.read())

    line.alpha.after = reads_the_url_too
    parked(line, f"s3://{bucket}/a.png", uploaded=True)
    server.client().put_object(Bucket=bucket, Key="a.png", Body=png(2))
    server.client().delete_object(Bucket=bucket, Key="a.png")
    job = ended(line)
    assert job.state is State.COMPLETED, job.error
    assert got == [png(1), png(1)]


def test_in_a_bucket_without_versions_a_replaced_upload_is_not_sent(in_s3: tuple[Line, S3], bucket: str) -> None:
    line, server = in_s3
    server.client().put_object(Bucket=bucket, Key="a.png", Body=png(1))
    got = load_bytes(line)
    parked(line, f"s3://{bucket}/a.png", uploaded=True)
    server.client().put_object(Bucket=bucket, Key="a.png", Body=png(2))
    check_refused(line, ended(line), f"s3://{bucket}/a.png")
    assert got == []


def lose_upload_while_the_provider_works(line: Line, server: S3, bucket: str, *, deleted: bool) -> None:
    """Replace or delete an upload while the provider works on its call."""
    server.client().put_object(Bucket=bucket, Key="a.png", Body=png(1))
    parked(line, f"s3://{bucket}/a.png", uploaded=True)
    line.start()
    line.until(lambda: line.call().settled)
    if deleted:
        server.client().delete_object(Bucket=bucket, Key="a.png")
    else:
        server.client().put_object(Bucket=bucket, Key="a.png", Body=png(2))


@pytest.mark.parametrize("deleted", [False, True], ids=["replaced", "deleted"])
def test_a_paid_result_is_not_lost_if_its_upload_is_lost_while_the_provider_works(
    in_s3: tuple[Line, S3], bucket: str, deleted: bool
) -> None:
    line, server = in_s3
    lose_upload_while_the_provider_works(line, server, bucket, deleted=deleted)
    line.advance()
    assert line.job().state is State.COMPLETED, line.job().error
    assert line.alpha.charges.total() == 1


def test_a_second_call_with_a_lost_upload_is_not_enqueued(in_s3: tuple[Line, S3], bucket: str) -> None:
    def asks_twice(data: Any, ctx: Context) -> Sequence[StoredArtifact]:
        picture = ctx.input("image", data.image, kinds=("png",), limit_bytes=1_000_000)
        for step in ("think", "think again"):
            ctx.call(step, ModelCall(data.models, {}, {"image": picture}))
        return []

    line, server = in_s3
    line.runtime = with_pipeline(line.runtime, asks_twice)
    lose_upload_while_the_provider_works(line, server, bucket, deleted=False)
    line.advance()
    assert (line.job().state, (line.job().error or {})["code"]) == (State.FAILED, "input_replaced")
    assert line.alpha.charges.total() == 1


def test_a_step_that_needs_the_lost_upload_fails_with_its_name(in_s3: tuple[Line, S3], bucket: str) -> None:
    def looks_afterwards(data: Any, ctx: Context) -> Sequence[StoredArtifact]:
        picture = ctx.input("image", data.image, kinds=("png",), limit_bytes=1_000_000)
        ctx.call("think", ModelCall(data.models, {}, {"image": picture}))
        picture.path.read_bytes()
        return []

    line, server = in_s3
    line.runtime = with_pipeline(line.runtime, looks_afterwards)
    lose_upload_while_the_provider_works(line, server, bucket, deleted=False)
    line.advance()
    assert (line.job().state, (line.job().error or {})["code"]) == (State.FAILED, "input_replaced")


def test_a_paid_film_is_not_lost_if_its_song_was_replaced_while_the_provider_worked(
    in_s3: tuple[Line, S3], bucket: str, tmp_path: Path
) -> None:
    line, server = in_s3
    length, prompt = Parameter(kind="number", minimum=0.5, maximum=60), Parameter(kind="text", shortest=0)
    model = Model(
        id="talk",
        provider="alpha",
        types=("audio-to-video",),
        parameters={"audio_duration": length, "prompt": prompt},
        price="0.10",
        first_wait_seconds=0.0,
        poll_seconds=0.05,
    )
    line.runtime = dataclasses.replace(line.runtime, catalogue=Catalogue([model]))
    line.alpha.result = lambda call: Ready(content=small_film())
    song, picture = f"s3://{bucket}/a.wav", f"s3://{bucket}/a.png"
    server.client().put_object(Bucket=bucket, Key="a.png", Body=png(1, 64))
    server.client().upload_file(str(write_wav(tmp_path / "a.wav", 2.0)), bucket, "a.wav")
    admit(line, {"id": "j", "type": "audio-to-video", "data": {"image": picture, "audio": song, "model": "talk"}}, song)
    assert line.advance() is State.WAITING
    line.start()
    line.until(lambda: line.call().settled)
    server.client().put_object(Bucket=bucket, Key="a.wav", Body=b"another song")
    line.advance()
    assert line.job().state is State.COMPLETED, line.job().error
    assert line.alpha.charges.total() == 1
