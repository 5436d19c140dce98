"""RunPod's public endpoints against their double, and every open route of the gateway's models against its page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr

from providers.base import Call, Failed, Pending, Ready, TaskRef
from providers.catalogue import Model
from providers.http.policy import Policy
from providers.registry import catalogue_of, open_provider
from providers.runpod_public import adapter as public_adapter
from providers.runpod_public.models import INFINITETALK, MODELS
from schemas.errors import ProviderError, ProviderNotConfigured, ProviderOutcomeUnknown
from schemas.settings import Settings
from tests.doubles.calls import call_of, closing, contains_no_secret, media
from tests.doubles.double import URL_SECRET
from tests.doubles.misbehaviour import Fault, Plan
from tests.doubles.replicate import Replicate
from tests.doubles.runpod_public import RunPodPublic

T = TypeVar("T")
CATALOGUE = catalogue_of(Settings())
INPUTS = {"image": media("in.png", "image/png"), "audio": media("in.mp3", "audio/mpeg")}
PORTRAIT = call_of(INFINITETALK, {"prompt": "natural head movements", "audio_duration": 5.06}, INPUTS)
#: What the gateway's users send, by model, with every parameter of its document.
GATEWAY: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "hailuo02standard": ("text-to-video", {"prompt": "a cat", "duration": 6}, ()),
    "seedancev1lite": (
        "text-to-video",
        {"prompt": "a cat", "duration": 10, "resolution": "1080p", "aspect_ratio": "16:9"},
        (),
    ),
    "hailuo23fast": ("image-to-video", {"prompt": "it waves", "resolution": "768p", "duration": 10}, ("image",)),
    "wan25fast": (
        "image-to-video",
        {"prompt": "it waves", "resolution": "1080p", "duration": 10, "negative_prompt": "blur"},
        ("image",),
    ),
    "Infinitetalk": (
        "audio-to-video",
        {"prompt": "", "resolution": "720p", "audio_duration": 5.06},
        ("image", "audio"),
    ),
    "imagine-text-to-video": (
        "text-to-video",
        {"prompt": "a cat", "duration": 12, "resolution": "1080p", "aspect_ratio": "4:3"},
        (),
    ),
}


@pytest.fixture
def double() -> Iterator[RunPodPublic]:
    with RunPodPublic() as started:
        yield started


def settings_of(double: RunPodPublic) -> Settings:
    return Settings(runpod_base_url=double.base_url, runpod_api_key=SecretStr(double.key), exchange_timeout_seconds=5.0)


def ask(double: RunPodPublic, work: Callable[[public_adapter.RunPodPublic], Awaitable[T]]) -> T:
    policy = Policy(allowed_hosts=frozenset({double.host}))
    return asyncio.run(closing(public_adapter.from_settings(settings_of(double), policy), work))


def made(double: RunPodPublic, call: Call = PORTRAIT) -> Pending | Ready | Failed:
    async def work(provider: public_adapter.RunPodPublic) -> Pending | Ready | Failed:
        return await provider.poll(call, await provider.submit(call))

    return ask(double, work)


def test_the_portrait_is_asked_for_by_the_pages_names_and_costs_what_runpod_reports(double: RunPodPublic) -> None:
    double.cost = 0.4321
    ready = made(double)
    (task,) = double.tasks.values()
    assert task.asked["endpoint"] == "infinitetalk"
    assert task.asked["input"] == {
        "prompt": "natural head movements",
        "size": "720p",
        "image": INPUTS["image"].url,
        "audio": INPUTS["audio"].url,
    }
    assert isinstance(ready, Ready)
    assert ready.url is not None
    assert URL_SECRET in ready.url
    assert (ready.price, ready.details) == ("0.4321", {"inference_time": 45678, "delay_time": 25})


@pytest.mark.parametrize("cost", [None, "0.25", True, -1, float("nan"), float("inf"), {"usd": 1}])
def test_a_cost_that_is_no_amount_leaves_the_price_of_the_catalogue(double: RunPodPublic, cost: Any) -> None:
    double.cost = cost
    ready = made(double)
    assert isinstance(ready, Ready)
    assert ready.price is None


def test_a_failed_generation_is_free_of_charge(double: RunPodPublic) -> None:
    double.plan(Plan("fail", message="Invalid audio URL"))
    failed = made(double)
    assert isinstance(failed, Failed)
    assert failed.error.message == "RunPod could not make the result: Invalid audio URL"
    assert not failed.charged


@pytest.mark.parametrize(("cost", "charged"), [(0.5, True), (None, True), (0, False)])
def test_a_job_without_a_file_fails(double: RunPodPublic, cost: Any, charged: bool) -> None:
    double.cost = cost
    double.plan(Plan(result="none"))
    failed = made(double)
    assert isinstance(failed, Failed)
    assert (failed.error.code, failed.charged) == ("provider_result_invalid", charged)


@pytest.mark.parametrize("act", ["drop", "reset", "cut"])
def test_a_lost_answer_is_an_unknown_outcome(double: RunPodPublic, act: Any) -> None:
    double.fault(Fault("submit", act, accept=True))
    with pytest.raises(ProviderOutcomeUnknown):
        made(double)
    assert (double.count("submit"), double.charges()) == (1, 1)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, "", "provider_unauthorized"),
        (402, '{"error": "not enough credit"}', "quota_exhausted"),
        (404, '{"error": "endpoint not found"}', "provider_refused"),
        (429, "", "rate_limited"),
        (500, "", "outcome_unknown"),
        (200, "{}", "outcome_unknown"),
    ],
)
def test_a_refusal_is_certain_or_unknown(double: RunPodPublic, status: int, body: str, code: str) -> None:
    double.fault(Fault("submit", "reply", status=status, body=body))
    with pytest.raises(ProviderError) as refused:
        made(double)
    assert refused.value.code == code
    assert contains_no_secret(refused.value, double.key)


def test_an_entry_without_an_endpoint_is_refused_before_anything_is_sent(double: RunPodPublic) -> None:
    call = call_of(INFINITETALK.model_copy(update={"remote": ""}), {}, INPUTS)
    with pytest.raises(ProviderNotConfigured, match="remote"):
        made(double, call)
    assert double.count("submit") == 0


@pytest.mark.parametrize("name", GATEWAY)
def test_every_route_of_the_gateways_models_is_accepted_as_its_page_says(name: str) -> None:
    job_type, given, inputs = GATEWAY[name]
    (first, _), *routes = CATALOGUE.with_routes([name], given, job_type).accepted
    assert first.id == name
    assert [model.id for model, _ in routes] == list(first.routes)
    for model, values in routes:
        call = call_of(model, values, {each: INPUTS[each] for each in inputs})
        ready = _made_by_its_double(model, call)
        assert isinstance(ready, Ready), (model.id, ready)


def _made_by_its_double(model: Model, call: Call) -> Pending | Ready | Failed:
    kind = RunPodPublic if model.provider == "runpod-public" else Replicate
    with kind() as double:
        key = SecretStr(double.key)
        settings = Settings(
            runpod_base_url=f"{double.url}/v2",
            runpod_api_key=key,
            replicate_base_url=double.url,
            replicate_token=key,
        )
        provider = open_provider(model.provider, settings, Policy(allowed_hosts=frozenset({double.host})))

        async def work(_: Any) -> Pending | Ready | Failed:
            task = await provider.submit(call)
            assert isinstance(task, TaskRef)
            return await provider.poll(call, task)

        return asyncio.run(closing(provider, work))


def test_a_request_that_a_route_cannot_make_as_asked_skips_it() -> None:
    asked = {"prompt": "", "resolution": "1080p", "audio_duration": 60.0}
    found = CATALOGUE.with_routes(["Infinitetalk"], asked, "audio-to-video")
    assert [model.id for model, _ in found.accepted] == ["Infinitetalk", "p-video-avatar", "runpod-p-video-audio"]
    assert {name: error.message for name, error in found.rejected} == {
        "runpod-infinitetalk": "data.resolution: must be one of 480p, 720p for runpod-infinitetalk",
    }
    tall = {"prompt": "a cat", "aspect_ratio": "9:16"}
    assert "runpod-seedance-1-pro" not in [
        model.id for model, _ in CATALOGUE.with_routes(["seedancev1lite"], tall, "text-to-video").accepted
    ]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_each_public_endpoint_names_its_page_and_its_price(model: Model) -> None:
    assert model.documentation.startswith("https://docs.runpod.io/public-endpoints/models/")
    assert (model.cost(5.0, model.checked({"prompt": "x"})) or 0) > 0
    assert json.loads(model.model_dump_json())["remote"]


def test_the_price_depends_on_the_resolution_until_an_operator_sets_one() -> None:
    priced = {model.id: model for model in CATALOGUE}["runpod-wan-2-5"]
    assert [priced.cost(10, {"resolution": each}) for each in ("720p", "1080p", "4k")] == [
        1_000_000,
        1_500_000,
        1_000_000,
    ]
    (own,) = (
        model
        for model in CATALOGUE.with_entries([{"id": "runpod-wan-2-5", "price": "0.07"}])
        if model.id == "runpod-wan-2-5"
    )
    assert own.cost(10, {"resolution": "1080p"}) == 700_000
