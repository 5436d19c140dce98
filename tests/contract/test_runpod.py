"""RunPod's adapter against its double: requests, the states of a job, and errors."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr

from providers.base import Call, Failed, MediaInput, Pending, Ready, TaskRef
from providers.http.policy import Policy
from providers.runpod import adapter as runpod_adapter
from providers.runpod.models import REEL
from schemas.errors import ProviderError, ProviderNotConfigured, ProviderRefused
from schemas.settings import Settings
from tests.doubles.calls import INPUT_SECRET, call_of, closing, contains_no_secret, media
from tests.doubles.double import URL_SECRET
from tests.doubles.misbehaviour import Fault, Plan
from tests.doubles.runpod import CAPTIONS, RunPod

T = TypeVar("T")
INPUTS = {"image": media("in.png", "image/png"), "audio": media("in.mp3", "audio/mpeg")}


@pytest.fixture
def double() -> Iterator[RunPod]:
    with RunPod() as started:
        yield started


def adapter(double: RunPod, **changes: Any) -> runpod_adapter.RunPod:
    values: dict[str, Any] = {
        "runpod_base_url": double.base_url,
        "runpod_api_key": SecretStr(double.key),
        "runpod_endpoint_id": double.endpoint,
        "exchange_timeout_seconds": 5.0,
    }
    return runpod_adapter.from_settings(Settings(**(values | changes)), Policy(allowed_hosts=frozenset({double.host})))


def ask(double: RunPod, work: Callable[[runpod_adapter.RunPod], Awaitable[T]], **changes: Any) -> T:
    return asyncio.run(closing(adapter(double, **changes), work))


def reel(film: str = "{}", inputs: dict[str, MediaInput] | None = None, **model: Any) -> Call:
    return call_of(REEL.model_copy(update=model), {"film": film}, INPUTS if inputs is None else inputs)


def poll(double: RunPod, polls: int = 1) -> list[Pending | Ready | Failed]:
    """Submit a job and return the answers of its polls."""
    call = reel()

    async def work(provider: runpod_adapter.RunPod) -> list[Pending | Ready | Failed]:
        task = await provider.submit(call)
        return [await provider.poll(call, task) for _ in range(polls)]

    return ask(double, work)


def replied(record: dict[str, Any]) -> Fault:
    return Fault("poll", "reply", status=200, body=json.dumps({"id": "x", **record}))


def test_media_are_sent_as_urls_with_their_digests_and_a_time_limit(double: RunPod) -> None:
    call = reel('{"a": 1}', timeout_seconds=900)

    async def work(provider: runpod_adapter.RunPod) -> TaskRef:
        return await provider.submit(call)

    task = ask(double, work)
    image = INPUTS["image"]
    asked = double.tasks[task.id].asked
    assert asked["policy"] == {"executionTimeout": 900_000, "ttl": 1_200_000}
    assert (asked["input"]["key"], asked["input"]["model"]) == (call.key, "runpod-reel")
    assert asked["input"]["parameters"] == {"film": '{"a": 1}'}
    assert asked["input"]["inputs"]["image"] == {
        "url": image.url,
        "content_type": "image/png",
        "bytes": 1000,
        "sha256": image.sha256,
    }
    assert task.extra == {"endpoint": double.endpoint}
    assert (double.count("submit"), double.charges(call.key)) == (1, 1)


@pytest.mark.parametrize(("timeout", "runs", "lives"), [(0.5, 10, 310), (1e7, 604_800, 604_800)])
def test_time_limits_stay_within_runpods_limits(double: RunPod, timeout: float, runs: int, lives: int) -> None:
    task = ask(double, lambda provider: provider.submit(reel(timeout_seconds=timeout)))
    policy = double.tasks[task.id].asked["policy"]
    assert policy == {"executionTimeout": runs * 1000, "ttl": lives * 1000}


def test_a_job_goes_from_the_queue_over_its_progress_to_its_result(double: RunPod) -> None:
    double.plan(Plan(polls=2))
    queued, working, ready = poll(double, 3)
    assert queued == Pending(None, "IN_QUEUE")
    assert working == Pending(0.4, "IN_PROGRESS")
    assert isinstance(ready, Ready)
    assert ready.url is not None
    assert URL_SECRET in ready.url
    assert ready.value == CAPTIONS
    assert ready.details == {"version": "0.1.0", "frames": 24}


def test_a_report_that_arrives_after_the_result_is_ignored(double: RunPod) -> None:
    double.fault(
        Fault("poll", "reply", skip=1, times=-1, status=200, body='{"id": "x", "status": "IN_PROGRESS", "output": 90}')
    )
    first, second = poll(double, 2)
    assert isinstance(first, Ready)
    assert second == first


def test_a_late_report_in_place_of_the_result_means_pending(double: RunPod) -> None:
    double.fault(replied({"status": "COMPLETED", "output": 95}))
    late, ready = poll(double, 2)
    assert late == Pending(0.95, "COMPLETED")
    assert isinstance(ready, Ready)


@pytest.mark.parametrize("status", ["RUNNING", "IN_QUEUE", "SLEEPING", "", "x" * 500])
def test_an_unknown_status_is_pending(double: RunPod, status: str) -> None:
    double.fault(replied({"status": status}))
    found = poll(double)[0]
    assert isinstance(found, Pending)
    assert len(found.status) <= 40


@pytest.mark.parametrize("output", [float("nan"), True, "90", {"a": 1}, None, -5, 700])
def test_progress_is_a_share_or_nothing(double: RunPod, output: Any) -> None:
    double.fault(replied({"status": "IN_PROGRESS", "output": output}))
    found = poll(double)[0]
    assert isinstance(found, Pending)
    assert found.progress is None or 0 <= found.progress <= 1


def test_a_job_that_outlived_its_time_at_runpod_is_lost_and_paid(double: RunPod) -> None:
    double.plan(Plan("lost"))
    found = poll(double)[0]
    assert isinstance(found, Failed)
    assert (found.error.code, found.charged) == ("provider_task_lost", True)


def test_an_error_has_the_message_of_the_handlers_traceback_only(double: RunPod) -> None:
    double.plan(Plan("fail", message=f"no space left for https://bucket.example/a?X-Amz-Signature={INPUT_SECRET}"))
    found = poll(double)[0]
    assert isinstance(found, Failed)
    assert (found.error.code, found.charged) == ("provider_task_failed", True)
    assert "no space left" in found.error.message
    assert "Traceback" not in found.error.message
    assert "renderer.py" not in found.error.message
    assert contains_no_secret(found.error, double.key)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (json.dumps({"code": "invalid_audio", "message": "Audio must be MP3", "field": "data.audio"}), "Audio must be"),
        ("worker exited with code 137", "exited with code 137"),
        ("[" * 100_000, "no reason given"),
        (json.dumps(["a"]), '["a"]'),
        (None, "no reason given"),
        ({"message": "odd"}, "no reason given"),
    ],
)
def test_an_error_of_any_form_becomes_one_line(double: RunPod, error: Any, message: str) -> None:
    double.fault(replied({"status": "FAILED", "error": error}))
    found = poll(double)[0]
    assert isinstance(found, Failed)
    assert message in found.error.message or error == "[" * 100_000
    assert len(found.error.message) < 400
    assert "\n" not in found.error.message


def test_the_error_for_an_invalid_input_has_its_field(double: RunPod) -> None:
    error = json.dumps({"code": "invalid_audio", "message": "Audio must be MP3, WAV, or FLAC", "field": "data.audio"})
    double.fault(replied({"status": "FAILED", "error": error}))
    found = poll(double)[0]
    assert isinstance(found, Failed)
    assert found.error.field == "data.audio"


@pytest.mark.parametrize(
    ("record", "code", "charged"),
    [
        ({"status": "TIMED_OUT"}, "provider_timeout", True),
        ({"status": "CANCELLED"}, "provider_task_failed", False),
        ({"status": "CANCELLED", "executionTime": 2100}, "provider_task_failed", True),
        ({"status": "COMPLETED"}, "provider_result_invalid", True),
        ({"status": "COMPLETED", "output": {"video": "AAAA"}}, "provider_result_invalid", True),
        ({"status": "COMPLETED", "output": {"url": 7}}, "provider_result_invalid", True),
    ],
)
def test_every_other_end_has_its_error(double: RunPod, record: dict[str, Any], code: str, charged: bool) -> None:
    double.fault(replied(record))
    found = poll(double)[0]
    assert isinstance(found, Failed)
    assert (found.error.code, found.charged) == (code, charged)


def test_a_request_that_is_too_large_for_runpod_is_not_sent(double: RunPod) -> None:
    with pytest.raises(ProviderRefused, match="10,000,000 bytes"):
        ask(double, lambda provider: provider.submit(reel(film="x" * 4_000_000, inputs=_long_urls())))
    assert double.count("submit") == 0


def _long_urls() -> dict[str, MediaInput]:
    long = dataclasses.replace(INPUTS["image"], url=f"https://media.example/{'a' * 1_000_000}")
    return {f"part{number}": long for number in range(7)}


def test_a_local_file_is_refused_because_runpod_cannot_read_it(double: RunPod) -> None:
    local = dataclasses.replace(INPUTS["image"], url="file:///srv/in.png")
    with pytest.raises(ProviderRefused, match="runpod cannot read a file on this machine") as refused:
        ask(double, lambda provider: provider.submit(reel(inputs={"image": local})))
    assert refused.value.field == "data.image"
    assert double.count("submit") == 0


@pytest.mark.parametrize(
    ("fault", "code", "charges"),
    [
        (Fault(act="drop", accept=True), "outcome_unknown", 1),
        (Fault(act="reset", accept=True), "outcome_unknown", 1),
        (Fault(act="cut", accept=True), "outcome_unknown", 1),
        (Fault(status=500, accept=True), "outcome_unknown", 1),
        (Fault(status=200, body="{}", accept=True), "outcome_unknown", 1),
        (Fault(status=200, body="<html>", accept=True), "outcome_unknown", 1),
        (Fault(status=400, body='{"error": "input is required"}'), "provider_refused", 0),
        (Fault(status=401), "provider_unauthorized", 0),
        (Fault(status=402), "quota_exhausted", 0),
        (Fault(status=404), "provider_refused", 0),
        (Fault(status=429, headers={"retry-after": "7"}), "rate_limited", 0),
    ],
)
def test_every_failed_submission_has_its_verdict_and_one_request(
    double: RunPod, fault: Fault, code: str, charges: int
) -> None:
    double.fault(fault)
    call = reel()
    with pytest.raises(ProviderError) as raised:
        ask(double, lambda provider: provider.submit(call))
    assert raised.value.code == code
    assert (double.count("submit"), double.charges(call.key)) == (1, charges)
    assert contains_no_secret(raised.value, double.key)


@pytest.mark.parametrize("fault", [Fault("poll", "drop"), Fault("poll", status=503), Fault("poll", status=429)])
def test_a_failed_poll_is_retryable(double: RunPod, fault: Fault) -> None:
    double.fault(fault)
    with pytest.raises(ProviderError) as raised:
        poll(double)
    assert raised.value.retryable


def test_a_model_may_name_an_endpoint_of_its_own(double: RunPod) -> None:
    task = ask(double, lambda provider: provider.submit(reel(remote=double.endpoint)), runpod_endpoint_id=None)
    assert task.extra == {"endpoint": double.endpoint}


def test_a_job_that_an_operator_has_adopted_is_polled_at_its_models_endpoint(double: RunPod) -> None:
    call = reel(remote=double.endpoint)

    async def work(provider: runpod_adapter.RunPod) -> Pending | Ready | Failed:
        task = await provider.submit(call)
        return await provider.poll(call, TaskRef(task.id))

    assert not isinstance(ask(double, work, runpod_endpoint_id="another"), Failed)


def test_the_error_names_a_missing_setting(double: RunPod) -> None:
    with pytest.raises(ProviderNotConfigured, match="RUNPOD_API_KEY"):
        adapter(double, runpod_api_key=None)
    with pytest.raises(ProviderNotConfigured, match="RUNPOD_ENDPOINT_ID"):
        ask(double, lambda provider: provider.submit(reel()), runpod_endpoint_id=None)
    assert double.requests == []
