"""A paid film is found in the output, however the provider's model nests it: the same for every adapter."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from consumer.calls import retry_policy
from consumer.ledger.records import Job
from consumer.ledger.states import State
from providers.catalogue import Catalogue, Model, Parameter
from providers.cococlip.models import MODELS as COCOCLIP_MODELS
from providers.http.downloads import GuardedClient
from providers.http.outputs import find_files
from providers.imagine.models import IMAGINE
from providers.pika.models import PIKA
from providers.runpod.models import REEL
from schemas.errors import InputUnavailable
from tests import ask_pipeline
from tests.doubles.double import URL_SECRET, Double
from tests.doubles.films import small_film
from tests.doubles.misbehaviour import Fault, Plan
from tests.doubles.results import SHAPES
from tests.doubles.server import Reply, Seen, Server
from tests.embedded_deployment import EmbeddedDeployment

assert ask_pipeline  # registers the job type
PROVIDERS = ("replicate", "runpod", "pika", "cococlip", "imagine")
QUICK = {"types": ("ask",), "first_wait_seconds": 0.0, "poll_seconds": 0.02, "price": "0.10"}
A, B, C = "https://a.example/1.mp4", "https://a.example/2.mp4", "https://a.example/3.png"


def model_of(provider: str) -> Model:
    """Return a model of the provider for the job type ``ask``, with defaults for what it requires."""
    cococlip = next(model for model in COCOCLIP_MODELS if model.id == "hailuo02standard")
    video = Model(id="video", provider="replicate", types=(), remote="minimax/video-01")
    known = {"replicate": video, "runpod": REEL, "pika": PIKA, "cococlip": cococlip, "imagine": IMAGINE}[provider]
    given = {name: "a kite" for name in known.parameters if name in ("prompt", "film")}
    parameters = {name: Parameter(default=text) for name, text in given.items()}
    return known.model_copy(update={**QUICK, "parameters": {**known.parameters, **parameters}})


class Shapes(EmbeddedDeployment):
    """A deployment with one model of each provider, and a host with an image."""

    def __init__(self, home: Path, stack: ExitStack) -> None:
        async def picture(seen: Seen) -> Reply:
            into = io.BytesIO()
            Image.new("RGB", (64, 48), "teal").save(into, "PNG")
            return Reply(200, into.getvalue(), {"content-type": "image/png"})

        images = stack.enter_context(Server(picture))
        self.image = f"{images.url}/cover.png"
        super().__init__(home, stack, more_hosts=[f"127.0.0.1:{images.port}"], imagine_styles={"default": "1"})
        catalogue = Catalogue([model_of(name) for name in PROVIDERS])
        self.runtime = dataclasses.replace(self.runtime, catalogue=catalogue)

    def double(self, provider: str) -> Double:
        double: Double = getattr(self, provider)
        return double

    def film(self, provider: str, plan: Plan) -> Job:
        """Ask the provider for a film whose task follows the plan."""
        self.double(provider).plan(plan)
        image = {"image": self.image} if provider == "pika" else {}
        return self.run("ask", models=[model_of(provider).id], film=True, **image)

    def stored(self) -> bytes:
        return (self.runtime.settings.storage_folder / "results" / "j" / "film.mp4").read_bytes()


@pytest.fixture
def shapes(tmp_path: Path) -> Iterator[Shapes]:
    with ExitStack() as stack:
        made = Shapes(tmp_path, stack)
        stack.callback(made.close)
        yield made


#: The shapes that every provider is tried with; Replicate, whose models are anybody's, with all.
COMMON = ("object-of-object", "picture-without-extension-first", "base64", "json-in-a-string")
CASES = [
    pytest.param(provider, shape, id=f"F4-{provider}-{shape}")
    for provider in PROVIDERS
    for shape in (SHAPES if provider == "replicate" else COMMON)
]


@pytest.mark.parametrize(("provider", "shape"), CASES)
def test_a_film_is_found_however_it_is_nested(shapes: Shapes, provider: str, shape: str) -> None:
    job = shapes.film(provider, Plan(shape=shape))
    assert job.state is State.COMPLETED, job.error
    assert shapes.stored() == small_film()
    assert shapes.charges() == 1
    call = shapes.call()
    assert URL_SECRET not in repr(call)
    assert "data:video" not in json.dumps(call.result.to_stored() if call.result else None)


@pytest.mark.parametrize(
    ("provider", "version"),
    [
        pytest.param("cococlip", "unknown", id="gap_L8"),
        pytest.param("imagine", "unknown", id="gap_L8-imagine"),
        pytest.param("pika", "1.5", id="gap_L8-reported"),
    ],
)
def test_the_model_version_of_a_film_is_not_telecines_own(shapes: Shapes, provider: str, version: str) -> None:
    assert shapes.film(provider, Plan()).state is State.COMPLETED
    manifest = json.loads((shapes.runtime.settings.storage_folder / "results" / "j" / "manifest.json").read_text())
    assert (manifest["provider"], manifest["model_version"]) == (provider, version)


@pytest.mark.parametrize("only", ["text", "html", "gone"])
def test_an_output_without_a_film_is_invalid_and_charged_F4(
    shapes: Shapes, only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_policy, "backoff", lambda failures: 0.01)
    job = shapes.film("replicate", Plan(shape="picture-first", result=only))
    assert (job.state, (job.error or {})["code"]) == (State.FAILED, "provider_result_invalid")
    assert (shapes.charges(), shapes.call().spent) == (1, 100_000)


def test_a_film_is_taken_although_a_picture_before_it_cannot_be_fetched_F4(
    shapes: Shapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_policy, "backoff", lambda failures: 0.01)
    download = GuardedClient.download

    def away(self: GuardedClient, url: str, into: Path, limit_bytes: int) -> Any:
        if "picture" in url:
            raise InputUnavailable("HTTP 503")
        return download(self, url, into, limit_bytes)

    monkeypatch.setattr(GuardedClient, "download", away)
    job = shapes.film("replicate", Plan(shape="picture-without-extension-first"))
    assert (job.state, shapes.stored()) == (State.COMPLETED, small_film())


@pytest.mark.parametrize(
    ("provider", "early"),
    [
        ("pika", {"videos": [{"status": "finished", "videoPoster": "https://a.example/p.jpg"}]}),
        ("pika", {"videos": [{"status": "finished", "still": "https://a.example/p.png?x=1", "resultUrl": ""}]}),
        ("pika", {"videos": [{"status": "finished"}], "job": {"image": "{image}"}}),
        ("cococlip", {"status": "COMPLETED", "thumbnail_url": "https://a.example/p"}),
        ("cococlip", {"status": "COMPLETED", "callBackUrl": "https://a.example/done"}),
        ("imagine", {"video": {"status": "finished", "url": {"thumbnail": "https://a.example/p"}}}),
    ],
)
def test_a_task_whose_film_is_not_there_yet_is_still_pending_F4(
    shapes: Shapes, provider: str, early: dict[str, Any]
) -> None:
    body = json.dumps(early).replace("{image}", f"{shapes.image}?again")
    shapes.double(provider).fault(Fault("poll", status=200, body=body, times=2))
    job = shapes.film(provider, Plan())
    assert (job.state, shapes.stored(), shapes.charges()) == (State.COMPLETED, small_film(), 1)


@pytest.mark.parametrize(
    ("output", "urls"),
    [
        pytest.param({"thumb": C, "a": A, "video": B}, (B, A, C), id="F4-named-first"),
        pytest.param({"x": [C, {"y": A}]}, (A, C), id="F4-films-before-pictures"),
        pytest.param([A, A, {"again": A}], (A,), id="F4-each-once"),
        pytest.param([f"see {A}", f"{A} and {B}", "", None, 7, True], (), id="F4-text-is-no-file"),
        pytest.param(
            ["[notes]", "{a}", "[1, 2]", "AAAA", "iVBORw0KGg is a PNG", "/9j/" + "!" * 90], (), id="F4-neither"
        ),
        pytest.param({"data": "data: a b, c", "mail": "mailto:a@a.example"}, (), id="F4-other-schemes"),
    ],
)
def test_the_files_of_an_output_in_their_order(output: Any, urls: tuple[str, ...]) -> None:
    assert find_files(output).urls == urls


def test_a_search_is_bounded_F4() -> None:
    deep = functools.reduce(lambda inner, _: [inner], range(900), cast(Any, A))
    wide = [{"number": number} for number in range(20_000)]
    assert not find_files([deep, *wide, A])
    assert len(find_files([f"https://a.example/{number}.mp4" for number in range(500)]).urls) == 16
