"""Cococlip's adapter against its double: five models, each parameter, each limit, four dialects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr

from providers.base import Call, Failed, Pending, Ready, TaskRef
from providers.cococlip import adapter as cococlip_adapter
from providers.cococlip.models import MODELS
from providers.http.policy import Policy
from schemas.errors import InvalidField, ProviderError, ProviderNotConfigured
from schemas.settings import Settings
from tests.doubles.calls import call_of, closing, media
from tests.doubles.cococlip import DIALECTS, Cococlip, Dialect
from tests.doubles.misbehaviour import Fault, Plan

T = TypeVar("T")
BY_ID = {model.id: model for model in MODELS}
INPUTS = {
    "hailuo02standard": {},
    "seedancev1lite": {},
    "hailuo23fast": {"image": media("in.png", "image/png")},
    "wan25fast": {"image": media("in.webp", "image/webp")},
    "Infinitetalk": {"image": media("face.jpg", "image/jpeg"), "audio": media("voice.mp3", "audio/mpeg")},
}


@pytest.fixture
def double() -> Iterator[Cococlip]:
    with Cococlip() as started:
        yield started


def adapter(double: Cococlip, **changes: Any) -> cococlip_adapter.Cococlip:
    values: dict[str, Any] = {
        "cococlip_base_url": double.url,
        "cococlip_auth_header": SecretStr(f"X-Cococlip-Key: {double.key}"),
        "exchange_timeout_seconds": 5.0,
    }
    return cococlip_adapter.from_settings(
        Settings(**(values | changes)), Policy(allowed_hosts=frozenset({double.host}))
    )


def ask(double: Cococlip, work: Callable[[cococlip_adapter.Cococlip], Awaitable[T]], **changes: Any) -> T:
    return asyncio.run(closing(adapter(double, **changes), work))


def call(model: str, **given: Any) -> Call:
    return call_of(BY_ID[model], {"prompt": "a cat at the piano"} | given, INPUTS[model])


def made(double: Cococlip, asked: Call) -> tuple[TaskRef, Pending | Ready | Failed]:
    async def work(provider: cococlip_adapter.Cococlip) -> tuple[TaskRef, Pending | Ready | Failed]:
        task = await provider.submit(asked)
        return task, await provider.poll(asked, task)

    return ask(double, work)


@pytest.mark.parametrize(
    ("model", "path", "given", "sent"),
    [
        ("hailuo02standard", "text2video", {}, {"duration": 6}),
        ("hailuo02standard", "text2video", {"duration": 6}, {"duration": 6}),
        ("seedancev1lite", "text2video", {}, {"duration": 5, "resolution": "720p", "aspect_ratio": "16:9"}),
        (
            "seedancev1lite",
            "text2video",
            {"duration": 10, "resolution": "1080p", "aspect_ratio": "9:16"},
            {"duration": 10, "resolution": "1080p", "aspect_ratio": "9:16"},
        ),
        (
            "seedancev1lite",
            "text2video",
            {"aspect_ratio": "1:1"},
            {"duration": 5, "resolution": "720p", "aspect_ratio": "1:1"},
        ),
        ("hailuo23fast", "image2video", {}, {"duration": 6}),
        ("hailuo23fast", "image2video", {"duration": 10, "resolution": "768p"}, {"duration": 10}),
        ("wan25fast", "image2video", {}, {"duration": 5, "resolution": "720p"}),
        (
            "wan25fast",
            "image2video",
            {"duration": 10, "resolution": "1080p", "negative_prompt": "fog"},
            {"duration": 10, "resolution": "1080p", "negative_prompt": "fog"},
        ),
        ("Infinitetalk", "audio2video", {}, {"resolution": "1080p"}),
        (
            "Infinitetalk",
            "audio2video",
            {"resolution": "720p", "audio_duration": 5.06, "prompt": ""},
            {"resolution": "720p", "audio_duration": "5.06", "prompt": ""},
        ),
        ("Infinitetalk", "audio2video", {"audio_duration": 182}, {"resolution": "1080p", "audio_duration": "182.00"}),
    ],
)
def test_each_model_is_sent_its_parameters_at_its_path(
    double: Cococlip, model: str, path: str, given: dict[str, Any], sent: dict[str, Any]
) -> None:
    asked = call(model, **given)
    task, answer = made(double, asked)
    files = {name: file.url for name, file in INPUTS[model].items()}
    assert double.tasks[task.id].asked == {"prompt": "a cat at the piano"} | files | sent
    assert double.requests[0][1].path == f"/v3/{path}/{model}"
    assert isinstance(answer, Ready)
    assert (double.charges(), double.count("submit")) == (1, 1)


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        ("hailuo02standard", {"duration": 10}, "data.duration: must be one of 6 for hailuo02standard"),
        ("hailuo02standard", {"resolution": "720p"}, "has no such parameter; it takes prompt, duration"),
        ("seedancev1lite", {"duration": 6}, "data.duration: must be one of 5, 10 for seedancev1lite"),
        ("seedancev1lite", {"resolution": "768p"}, "data.resolution: must be one of 720p, 1080p for seedancev1lite"),
        ("seedancev1lite", {"aspect_ratio": "4:3"}, "data.aspect_ratio: must be one of 9:16, 16:9, 1:1"),
        ("seedancev1lite", {"prompt": "x" * 1001}, "data.prompt: must have at most 1,000 characters"),
        ("hailuo23fast", {"duration": 5}, "data.duration: must be one of 6, 10 for hailuo23fast"),
        ("hailuo23fast", {"resolution": "720p"}, "data.resolution: must be one of 768p for hailuo23fast"),
        ("hailuo23fast", {"prompt": "x" * 501}, "data.prompt: must have at most 500 characters"),
        ("wan25fast", {"duration": 6}, "data.duration: must be one of 5, 10 for wan25fast"),
        ("wan25fast", {"resolution": "4k"}, "data.resolution: must be one of 720p, 1080p for wan25fast"),
        ("wan25fast", {"negative_prompt": 7}, "data.negative_prompt: must be a text for wan25fast"),
        ("Infinitetalk", {"resolution": "768p"}, "data.resolution: must be one of 720p, 1080p for Infinitetalk"),
        (
            "Infinitetalk",
            {"duration": 5},
            "no such parameter (did you mean audio_duration?); it takes prompt",
        ),
        ("Infinitetalk", {"audio_duration": "5"}, "data.audio_duration: must be a number for Infinitetalk"),
    ],
)
def test_an_unsupported_value_is_refused_with_the_supported_ones(
    model: str, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidField) as caught:
        call(model, **given)
    assert message in caught.value.message


@pytest.mark.parametrize("model", ["hailuo02standard", "seedancev1lite", "hailuo23fast", "wan25fast"])
def test_a_prompt_is_required_except_for_a_talking_portrait(model: str) -> None:
    with pytest.raises(InvalidField, match=rf"data\.prompt: {model} needs it"):
        call_of(BY_ID[model], {}, INPUTS[model])
    assert call_of(BY_ID["Infinitetalk"], {}).parameters == {"resolution": "1080p"}


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("image", "video/mp4", "Invalid image file type. Allowed: JPEG, PNG, WebP. Got: video/mp4"),
        ("image", "image/gif", "Invalid image file type. Allowed: JPEG, PNG, WebP. Got: image/gif"),
        ("audio", "audio/flac", "Invalid audio file type. Allowed: MP3, WAV. Got: audio/flac"),
    ],
)
def test_a_file_of_another_kind_is_refused_before_anything_is_sent(
    double: Cococlip, name: str, kind: str, message: str
) -> None:
    asked = call_of(BY_ID["Infinitetalk"], {}, INPUTS["Infinitetalk"] | {name: media("x", kind)})
    with pytest.raises(ProviderError) as caught:
        ask(double, lambda provider: provider.submit(asked))
    assert (caught.value.message, caught.value.field) == (message, f"data.{name}")
    assert double.requests == []


def test_a_file_of_more_than_50_megabytes_is_refused_before_anything_is_sent(double: Cococlip) -> None:
    large = {"image": media("x", "image/png", bytes=50 * 1024 * 1024 + 1)}
    with pytest.raises(ProviderError, match="File too large"):
        ask(double, lambda provider: provider.submit(call_of(BY_ID["wan25fast"], {"prompt": "x"}, large)))
    assert double.requests == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_is_read_from_the_first_poll_to_the_film(double: Cococlip, dialect: Dialect) -> None:
    double.dialect = dialect
    double.plan(Plan(polls=3))
    asked = call("seedancev1lite")

    async def work(provider: cococlip_adapter.Cococlip) -> list[Pending | Ready | Failed]:
        task = await provider.submit(asked)
        return [await provider.poll(asked, task) for _ in range(4)]

    *running, last = ask(double, work)
    assert all(isinstance(answer, Pending) for answer in running)
    assert isinstance(last, Ready)
    assert last.url is not None
    assert last.url.startswith(f"http://{double.result_host}/")
    assert last.details == ({"inference_time": 128036} if dialect == "flat" else {})


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_failure_is_read_in_each_dialect_and_loses_its_secrets(double: Cococlip, dialect: Dialect) -> None:
    double.dialect = dialect
    double.plan(Plan("fail", f"key {double.key}\nblocked by policy"))
    _, answer = made(double, call("hailuo02standard"))
    assert isinstance(answer, Failed)
    assert answer.error.code == "provider_task_failed"
    assert answer.error.message == "Cococlip could not make the video: key [hidden] blocked by policy"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_success_without_a_url_is_not_a_success(double: Cococlip, dialect: Dialect) -> None:
    double.dialect = dialect
    double.plan(Plan(result="none"))
    assert isinstance(made(double, call("hailuo02standard"))[1], Pending)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"code": 401, "msg": "no"}', "provider_unauthorized"),
        ('{"code": 402, "msg": "no"}', "quota_exhausted"),
        ('{"code": 422, "msg": "no"}', "provider_refused"),
        ('{"code": 1001, "msg": "no"}', "provider_refused"),
        ('{"code": "400", "msg": "no"}', "provider_refused"),
        ('{"code": 429, "msg": "no"}', "rate_limited"),
        ('{"code": 500, "msg": "no"}', "outcome_unknown"),
        ('{"code": 429, "data": {"taskId": "t"}}', "outcome_unknown"),
        ('{"code": 200, "data": {}}', "outcome_unknown"),
        ('{"code": 200, "data": null}', "outcome_unknown"),
        ("[]", "outcome_unknown"),
        ("", "outcome_unknown"),
    ],
)
def test_an_error_code_under_http_200_counts_like_the_status(double: Cococlip, body: str, code: str) -> None:
    double.fault(Fault(status=200, body=body))
    with pytest.raises(ProviderError) as caught:
        ask(double, lambda provider: provider.submit(call("hailuo02standard")))
    assert caught.value.code == code
    assert double.count("submit") == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"code": 422, "msg": "face not found"}', "provider_task_failed"),
        ('{"code": 404, "msg": "?"}', "provider_task_lost"),
    ],
)
def test_an_error_code_about_a_task_ends_it(double: Cococlip, body: str, code: str) -> None:
    double.fault(Fault("poll", status=200, body=body))
    _, answer = made(double, call("hailuo02standard"))
    assert isinstance(answer, Failed)
    assert answer.error.code == code


@pytest.mark.parametrize(
    ("body", "code"), [('{"code": 429}', "rate_limited"), ('{"code": 500}', "provider_unavailable")]
)
def test_a_temporary_error_code_is_polled_again(double: Cococlip, body: str, code: str) -> None:
    double.fault(Fault("poll", status=200, body=body))
    with pytest.raises(ProviderError) as caught:
        made(double, call("hailuo02standard"))
    assert caught.value.code == code


@pytest.mark.parametrize("verb", ["submit", "poll"])
@pytest.mark.parametrize(("headers", "seconds"), [({}, 20.0), ({"retry-after": "3"}, 3.0)])
def test_too_many_requests_means_twenty_seconds_more_without_retry_after(
    double: Cococlip, verb: Any, headers: dict[str, str], seconds: float
) -> None:
    double.fault(Fault(verb, status=429, headers=headers))
    with pytest.raises(ProviderError) as caught:
        made(double, call("hailuo02standard"))
    assert (caught.value.code, caught.value.retry_after_seconds) == ("rate_limited", seconds)


@pytest.mark.parametrize(
    "body", ["", "<p>wait", '{"status": "REVIEWING"}', '{"data": {"successFlag": 0}}', "null", "7"]
)
def test_a_response_without_a_status_means_that_the_task_runs(double: Cococlip, body: str) -> None:
    double.fault(Fault("poll", status=200, body=body))
    assert isinstance(made(double, call("hailuo02standard"))[1], Pending)


def test_a_task_that_cococlip_no_longer_knows_is_lost_and_counts_as_paid(double: Cococlip) -> None:
    double.plan(Plan("lost"))
    _, answer = made(double, call("hailuo02standard"))
    assert isinstance(answer, Failed)
    assert (answer.error.code, answer.charged) == ("provider_task_lost", True)


def test_the_paths_are_the_operators_and_ids_are_escaped_in_them(double: Cococlip) -> None:
    paths = {"cococlip_submit_path": "v3/{kind}/{model}", "cococlip_status_path": "v3/{kind}/{model}/get?id={id}"}
    ask(double, lambda provider: provider.submit(call("Infinitetalk")), **paths)
    ask(double, lambda provider: provider.poll(call("Infinitetalk"), TaskRef("a&b={kind}/../x")), **paths)
    assert [seen.path for _, seen in double.requests] == [
        "/v3/audio2video/Infinitetalk",
        "/v3/audio2video/Infinitetalk/get",
    ]
    assert double.requests[1][1].query == {"id": "a&b={kind}/../x"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"cococlip_base_url": None}, "TELECINE_COCOCLIP_BASE_URL"),
        ({"cococlip_base_url": ""}, "TELECINE_COCOCLIP_BASE_URL"),
        ({"cococlip_auth_header": None}, "TELECINE_COCOCLIP_AUTH_HEADER"),
        ({"cococlip_auth_header": SecretStr("token-without-a-name")}, "TELECINE_COCOCLIP_AUTH_HEADER"),
        ({"cococlip_auth_header": SecretStr("X-Key: ")}, "TELECINE_COCOCLIP_AUTH_HEADER"),
        ({"cococlip_auth_header": SecretStr("X Key: abcdefg")}, "TELECINE_COCOCLIP_AUTH_HEADER"),
    ],
)
def test_it_is_off_until_it_is_configured_and_the_error_names_what_is_missing(
    double: Cococlip, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(ProviderNotConfigured, match=named) as caught:
        adapter(double, **changes)
    assert "token-without" not in caught.value.message
