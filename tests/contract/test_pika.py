"""Pika's adapter against its double: requests, the states of a task, and errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr

from providers.base import Call, Failed, Pending, Ready, TaskRef
from providers.catalogue import Model
from providers.http.policy import Policy
from providers.pika import adapter as pika_adapter
from providers.pika.models import PIKA, configured
from schemas.errors import InvalidField, ProviderError, ProviderNotConfigured
from schemas.settings import Settings
from tests.doubles.calls import call_of, closing, media
from tests.doubles.misbehaviour import Fault, Plan
from tests.doubles.pika import Pika

T = TypeVar("T")
IMAGE = {"image": media("in.png", "image/png")}
_OPTIONS = {"frameRate": 24, "parameters": {"motion": 2, "guidanceScale": 16}}


@pytest.fixture
def double() -> Iterator[Pika]:
    with Pika() as started:
        yield started


def adapter(double: Pika, **changes: Any) -> pika_adapter.Pika:
    values: dict[str, Any] = {"pika_base_url": double.url, "pika_token": SecretStr(double.key)}
    settings = Settings(**(values | {"exchange_timeout_seconds": 5.0} | changes))
    return pika_adapter.from_settings(settings, Policy(allowed_hosts=frozenset({double.host})))


def ask(double: Pika, work: Callable[[pika_adapter.Pika], Awaitable[T]], **changes: Any) -> T:
    return asyncio.run(closing(adapter(double, **changes), work))


def kite(**given: Any) -> Call:
    return call_of(PIKA, {"prompt": "a red kite over dunes"} | given, IMAGE)


def made(double: Pika, call: Call) -> tuple[TaskRef, Pending | Ready | Failed]:
    """Submit a call and poll it once; return the task and its state."""

    async def work(provider: pika_adapter.Pika) -> tuple[TaskRef, Pending | Ready | Failed]:
        task = await provider.submit(call)
        return task, await provider.poll(call, task)

    return ask(double, work)


def test_the_required_options_are_sent_with_the_calls_key_as_reference(double: Pika) -> None:
    call = kite()
    task, _ = made(double, call)
    assert double.tasks[task.id].asked == {
        "promptText": "a red kite over dunes",
        "model": "1.5",
        "image": IMAGE["image"].url,
        "options": _OPTIONS,
        "ref": call.key,
    }
    assert double.charges(call.key) == 1
    assert double.count("submit") == 1


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({"frameRate": 1}, {"frameRate": 1}),
        ({"aspectRatio": "5:2"}, {"aspectRatio": "5:2"}),
        ({"motion": 4}, {"parameters": {"motion": 4, "guidanceScale": 16}}),
        ({"guidanceScale": 5.5}, {"parameters": {"motion": 2, "guidanceScale": 5.5}}),
        ({"negativePrompt": "fog"}, {"parameters": {"motion": 2, "guidanceScale": 16, "negativePrompt": "fog"}}),
        ({"seed": 0}, {"parameters": {"motion": 2, "guidanceScale": 16, "seed": 0}}),
    ],
)
def test_each_parameter_arrives_where_the_provider_reads_it(
    double: Pika, given: dict[str, Any], options: dict[str, Any]
) -> None:
    task, _ = made(double, kite(**given))
    assert double.tasks[task.id].asked["options"] == _OPTIONS | options


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"frameRate": 0}, "data.frameRate: must be from 1 to 24 for pika"),
        ({"frameRate": 25}, "data.frameRate: must be from 1 to 24 for pika"),
        ({"motion": 5}, "data.motion: must be from 1 to 4 for pika"),
        ({"guidanceScale": 4.9}, "data.guidanceScale: must be from 5 to 25 for pika"),
        ({"guidanceScale": 26}, "data.guidanceScale: must be from 5 to 25 for pika"),
        ({"aspectRatio": "2:1"}, "data.aspectRatio: must be one of 16:9, 9:16, 1:1, 5:2, 4:5, 4:3 for pika"),
        ({"duration": 5}, "data.duration: pika has no such parameter; it takes prompt, frameRate, motion"),
    ],
)
def test_an_unsupported_value_is_refused_with_the_supported_ones(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidField) as caught:
        kite(**given)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("kind", ["video/mp4", "image/tiff"])
def test_an_image_of_another_kind_is_refused_before_anything_is_sent(double: Pika, kind: str) -> None:
    call = call_of(PIKA, {"prompt": "x"}, {"image": media("in", kind)})
    with pytest.raises(ProviderError, match=f"Allowed: JPEG, PNG, WebP, GIF. Got: {kind}") as caught:
        ask(double, lambda provider: provider.submit(call))
    assert (caught.value.code, caught.value.field) == ("provider_refused", "data.image")
    assert double.requests == []


def test_a_task_goes_from_no_videos_over_pending_to_its_film(double: Pika) -> None:
    double.plan(Plan(polls=2))
    call = kite()

    async def work(provider: pika_adapter.Pika) -> list[Pending | Ready | Failed]:
        task = await provider.submit(call)
        return [await provider.poll(call, task) for _ in range(3)]

    first, second, third = ask(double, work)
    assert first == Pending(None, "queued")
    assert second == Pending(0.2, "pending")
    assert isinstance(third, Ready)
    assert third.url is not None
    assert third.url.startswith(f"http://{double.result_host}/")
    assert third.details == {"title": "a red kite over dunes", "version": "1.5", "seed": 42}


def test_a_reported_failure_is_final_and_has_its_reason_without_secrets(double: Pika) -> None:
    double.plan(Plan("fail", f"token {double.key} saw https://cdn.example/x.png?sig=1234\nno face"))
    _, answer = made(double, kite())
    assert isinstance(answer, Failed)
    assert not answer.charged
    assert answer.error.code == "provider_task_failed"
    assert answer.error.message == (
        "Pika could not make the video: token [hidden] saw https://cdn.example/x.png no face"
    )


def test_success_without_a_url_is_not_a_success(double: Pika) -> None:
    double.plan(Plan(result="none"))
    assert made(double, kite())[1] == Pending(1.0, "finished")


def test_a_task_that_pika_no_longer_knows_is_lost_and_counts_as_paid(double: Pika) -> None:
    double.plan(Plan("lost"))
    _, answer = made(double, kite())
    assert isinstance(answer, Failed)
    assert (answer.error.code, answer.charged) == ("provider_task_lost", True)


@pytest.mark.parametrize(
    "body",
    [
        '{"videos": [{"status": "moderating"}]}',
        '{"job": {"status": "warming"}}',
        "{}",
        "[]",
        '{"videos": {"0": 1}}',
        '{"videos": [], "job": {"status": "finished"}}',
        '{"videos": [{"status": null, "progress": "half"}]}',
    ],
)
def test_an_unknown_status_is_pending(double: Pika, body: str) -> None:
    double.fault(Fault("poll", status=200, body=body))
    assert isinstance(made(double, kite())[1], Pending)


def test_a_result_url_in_a_failed_response_is_ignored(double: Pika) -> None:
    double.fault(Fault("poll", status=200, body='{"videos": [{"status": "ERROR", "resultUrl": "https://x/y.mp4"}]}'))
    assert isinstance(made(double, kite())[1], Failed)


def test_pika_can_neither_cancel_nor_find_a_task(double: Pika) -> None:
    call = kite()
    assert not pika_adapter.Pika.can_find
    assert ask(double, lambda provider: provider.find(call)) is None
    assert ask(double, lambda provider: provider.cancel(call, TaskRef("t"))) is False
    assert double.requests == []


def test_an_id_with_special_characters_cannot_lead_to_another_path(double: Pika) -> None:
    answer = ask(double, lambda provider: provider.poll(kite(), TaskRef("../generate?x=1")))
    assert isinstance(answer, Failed)
    assert [seen.path for _, seen in double.requests] == ["/jobs/..%2Fgenerate%3Fx%3D1"]


@pytest.mark.parametrize("token", [None, SecretStr("")])
def test_the_error_for_a_missing_key_names_its_variable(double: Pika, token: SecretStr | None) -> None:
    with pytest.raises(ProviderNotConfigured, match="PIKAPI_BEARER_TOKEN"):
        adapter(double, pika_token=token)


def test_the_error_for_a_wrong_key_names_its_variable(double: Pika) -> None:
    with pytest.raises(ProviderError, match=r"Invalid token\. Replace the key in PIKAPI_BEARER_TOKEN") as caught:
        ask(double, lambda provider: provider.submit(kite()), pika_token=SecretStr("wrong-key-5512"))
    assert caught.value.code == "provider_unauthorized"
    assert double.charges() == 0


@pytest.mark.parametrize(
    ("url", "title"),
    [
        ("https://cdn.example/v1/0f1e/red_kite_seed42.mp4", "red kite"),
        ("https://cdn.example/a_red_kite,_trending_on_artstation_seed1234567.mp4?sig=1", "a red kite"),
        ("https://cdn.example/Gr%C3%BC%C3%9Fe_aus_K%C3%B6ln.mp4", "Grüße aus Köln"),
        ("https://cdn.example/v1.mp4", "v1"),
        ("https://cdn.example/_seed9.mp4", "Generated Video"),
        ("https://cdn.example/", "Generated Video"),
        ("https://cdn.example/,_kite.mp4", "Generated Video"),
        ("https://cdn.example/a%0Ab%00c.mp4", "a b c"),
        ("https://cdn.example/" + "long_" * 100 + ".mp4", ("long " * 100)[:119] + "…"),
    ],
)
def test_the_title_comes_from_the_films_name(url: str, title: str) -> None:
    assert pika_adapter.title(url) == title


def test_the_poll_intervals_of_the_i2v_system_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(models: tuple[Model, ...]) -> tuple[float, float, float]:
        entry = next(model for model in models if model.id == "pika")
        return entry.first_wait_seconds, entry.poll_seconds, entry.timeout_seconds

    assert waits(configured(Settings())) == (300, 10, 720)
    monkeypatch.setenv("INITIAL_WAIT_TIME", "2")
    monkeypatch.setenv("MAX_CHECK_TIME", "40")
    assert waits(configured(Settings())) == (2, 10, 42)
