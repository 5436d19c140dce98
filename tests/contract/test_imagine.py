"""Imagine.art's adapter against its double: the form, the styles, and no false success."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr

from providers.base import Call, Failed, Pending, Ready, TaskRef
from providers.http.policy import Policy
from providers.imagine import adapter as imagine_adapter
from providers.imagine.models import MODELS
from schemas.errors import InvalidField, ProviderError, ProviderNotConfigured
from schemas.settings import Settings
from tests.doubles.calls import call_of, closing
from tests.doubles.imagine import Imagine
from tests.doubles.misbehaviour import Fault, Plan

T = TypeVar("T")
MODEL = next(model for model in MODELS if model.id == "imagine-text-to-video")
STYLES = {"default": "kling-1.0-pro", "60503": "luma-dream-machine-ray-2"}
PLAIN = {"prompt": "a cat in a park", "duration": "5", "resolution": "720p", "aspect_ratio": "16:9"}


@pytest.fixture
def double() -> Iterator[Imagine]:
    with Imagine() as started:
        yield started


def adapter(double: Imagine, **changes: Any) -> imagine_adapter.Imagine:
    values: dict[str, Any] = {
        "imagine_base_url": double.url,
        "imagine_api_key": SecretStr(double.key),
        "imagine_styles": STYLES,
        "exchange_timeout_seconds": 5.0,
    }
    return imagine_adapter.from_settings(Settings(**(values | changes)), Policy(allowed_hosts=frozenset({double.host})))


def ask(double: Imagine, work: Callable[[imagine_adapter.Imagine], Awaitable[T]], **changes: Any) -> T:
    return asyncio.run(closing(adapter(double, **changes), work))


def cat(**given: Any) -> Call:
    return call_of(MODEL, {"prompt": "a cat in a park"} | given)


def made(double: Imagine, call: Call) -> tuple[TaskRef, Pending | Ready | Failed]:
    async def work(provider: imagine_adapter.Imagine) -> tuple[TaskRef, Pending | Ready | Failed]:
        task = await provider.submit(call)
        return task, await provider.poll(call, task)

    return ask(double, work)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, {"style": "kling-1.0-pro"}),
        ({"duration": 6}, {"duration": "6", "style": "kling-1.0-pro"}),
        ({"duration": 12, "resolution": "1080p"}, {"duration": "12", "resolution": "1080p", "style": "kling-1.0-pro"}),
        ({"aspect_ratio": "4:3"}, {"aspect_ratio": "4:3", "style": "kling-1.0-pro"}),
        ({"aspect_ratio": "1:1"}, {"aspect_ratio": "1:1", "style": "kling-1.0-pro"}),
        ({"aspect_ratio": "9:16"}, {"aspect_ratio": "9:16", "style": "kling-1.0-pro"}),
        ({"style_id": 60503}, {"style": "luma-dream-machine-ray-2"}),
        ({"is_enhance": True}, {"is_enhance": "true", "style": "kling-1.0-pro"}),
        ({"is_enhance": False}, {"style": "kling-1.0-pro"}),
    ],
)
def test_each_parameter_is_a_part_of_the_form(double: Imagine, given: dict[str, Any], sent: dict[str, str]) -> None:
    call = cat(**given)
    task, answer = made(double, call)
    assert double.tasks[task.id].asked == PLAIN | sent
    assert isinstance(answer, Ready)
    assert answer.details == {"batch_id": call.key, "style": sent["style"]}
    assert (double.charges(), double.count("submit")) == (1, 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"duration": 10}, "data.duration: must be one of 5, 6, 12 for imagine-text-to-video"),
        ({"resolution": "768p"}, "data.resolution: must be one of 720p, 1080p for imagine-text-to-video"),
        ({"aspect_ratio": "5:2"}, "data.aspect_ratio: must be one of 16:9, 9:16, 4:3, 1:1"),
        ({"style_id": "60503"}, "data.style_id: must be a whole number"),
        ({"style_id": -1}, "data.style_id: must be from 0 to 2,147,483,647 for imagine-text-to-video"),
        ({"is_enhance": "yes"}, "data.is_enhance: must be true or false"),
        ({"prompt": "x" * 2001}, "data.prompt: must have at most 2,000 characters"),
        ({"motion": 2}, "data.motion: imagine-text-to-video has no such parameter; it takes prompt, duration"),
    ],
)
def test_an_unsupported_value_is_refused_with_the_supported_ones(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidField) as caught:
        cat(**given)
    assert message in caught.value.message


def test_a_style_that_is_not_mapped_is_refused_before_anything_is_sent(double: Imagine) -> None:
    with pytest.raises(
        ProviderError, match=r"no style 7; available: 60503\. Add it to TELECINE_IMAGINE_STYLES"
    ) as caught:
        ask(double, lambda provider: provider.submit(cat(style_id=7)))
    assert (caught.value.code, caught.value.field) == ("provider_refused", "data.style_id")
    with pytest.raises(ProviderError, match="no default style"):
        ask(double, lambda provider: provider.submit(cat()), imagine_styles={})
    assert double.requests == []


def test_an_entry_of_the_catalogue_can_have_a_style_of_its_own(double: Imagine) -> None:
    own = MODEL.model_copy(update={"remote": "seedance-1.0"})
    for given, style in (({}, "seedance-1.0"), ({"style_id": 60503}, "luma-dream-machine-ray-2")):
        task, _ = made(double, call_of(own, {"prompt": "x", **given}))
        assert double.tasks[task.id].asked["style"] == style


def test_a_style_that_was_removed_meanwhile_loses_no_result(double: Imagine) -> None:
    call = cat(style_id=60503)
    task = ask(double, lambda provider: provider.submit(call))
    answer = ask(double, lambda provider: provider.poll(call, task), imagine_styles={})
    assert isinstance(answer, Ready)
    assert answer.details["style"] == "luma-dream-machine-ray-2"


@pytest.mark.parametrize("url_as_list", [False, True])
def test_the_url_is_a_string_or_a_list(double: Imagine, url_as_list: bool) -> None:
    double.url_as_list = url_as_list
    _, answer = made(double, cat())
    assert isinstance(answer, Ready)
    assert answer.url is not None
    assert answer.url.startswith(f"http://{double.result_host}/")


def test_an_outer_success_around_a_running_video_is_not_a_success(double: Imagine) -> None:
    double.plan(Plan("never"))
    assert made(double, cat())[1] == Pending(status="processing")


@pytest.mark.parametrize(
    "body",
    [
        {"status": "success"},
        {"status": "success", "video": {"url": {"generation": "https://x/y.mp4"}}},
        {"status": "success", "video": {"status": "finished", "url": {}}},
        {"status": "success", "video": {"status": "finished", "url": {"generation": []}}},
        {"status": "success", "video": {"status": "finished", "url": {"generation": None}}},
        {"status": "success", "video": {"status": "dreaming", "url": {"generation": "https://x/y.mp4"}}},
        {"status": "success", "video": []},
        [],
    ],
)
def test_only_a_finished_video_with_a_url_is_a_success(double: Imagine, body: Any) -> None:
    double.fault(Fault("poll", status=200, body=json.dumps(body)))
    assert isinstance(made(double, cat())[1], Pending)


@pytest.mark.parametrize(
    "body",
    [
        {"status": "success", "video": {"status": "failed", "error": "nsfw"}},
        {"status": "success", "video": {"status": "ERROR", "message": "nsfw", "url": {"generation": "https://x"}}},
        {"status": "error", "message": "nsfw"},
        {"status": "failed", "code": 1102, "error": "Validation", "message": "nsfw"},
    ],
)
def test_a_failure_inside_or_outside_is_final(double: Imagine, body: dict[str, Any]) -> None:
    double.fault(Fault("poll", status=200, body=json.dumps(body)))
    _, answer = made(double, cat())
    assert isinstance(answer, Failed)
    assert answer.error.message == "Imagine.art could not make the video: nsfw"


@pytest.mark.parametrize(
    ("status", "provider_code", "code"),
    [
        (401, 1000, "provider_unauthorized"),
        (400, 1001, "provider_unauthorized"),
        (200, 1001, "provider_unauthorized"),
        (402, 1300, "quota_exhausted"),
        (200, 402, "quota_exhausted"),
        (400, 1101, "provider_refused"),
        (200, 1101, "provider_refused"),
        (429, 1200, "rate_limited"),
        (500, 1200, "outcome_unknown"),
        (500, 1000, "outcome_unknown"),
        (200, 1201, "outcome_unknown"),
        (200, 7, "outcome_unknown"),
    ],
)
def test_each_error_code_has_its_verdict(double: Imagine, status: int, provider_code: int, code: str) -> None:
    body = {"status": "error", "code": provider_code, "error": "x", "message": f"sorry, {double.key}"}
    double.fault(Fault(status=status, body=json.dumps(body)))
    with pytest.raises(ProviderError) as caught:
        ask(double, lambda provider: provider.submit(cat()))
    assert caught.value.code == code
    assert double.key not in caught.value.message
    assert double.count("submit") == 1


@pytest.mark.parametrize(("provider_code", "code"), [(1000, "provider_unauthorized"), (1201, "provider_unavailable")])
def test_a_failed_poll_is_not_a_failed_video(double: Imagine, provider_code: int, code: str) -> None:
    double.fault(Fault("poll", status=200, body=json.dumps({"status": "error", "code": provider_code})))
    with pytest.raises(ProviderError) as caught:
        made(double, cat())
    assert caught.value.code == code


def test_a_video_that_imagine_no_longer_knows_is_lost_and_counts_as_paid(double: Imagine) -> None:
    double.plan(Plan("lost"))
    _, answer = made(double, cat())
    assert isinstance(answer, Failed)
    assert (answer.error.code, answer.charged) == ("provider_task_lost", True)


def test_the_error_for_a_missing_or_wrong_key_names_its_variable(double: Imagine) -> None:
    with pytest.raises(ProviderNotConfigured, match="IMAGINE_API_KEY"):
        adapter(double, imagine_api_key=None)
    with pytest.raises(ProviderError, match="IMAGINE_API_KEY") as caught:
        ask(double, lambda provider: provider.submit(cat()), imagine_api_key=SecretStr("wrong-key-5512"))
    assert caught.value.code == "provider_unauthorized"
    assert double.charges() == 0
