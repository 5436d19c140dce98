"""Replicate's adapter against its double: requests, and each state of a prediction."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from providers.base import Failed, Pending, Ready, TaskRef
from providers.catalogue import Catalogue
from providers.registry import catalogue_of
from providers.replicate import adapter as replicate_adapter
from providers.replicate.models import CLIP_INTERROGATOR, CLIP_VERSION, MODELS, configured
from schemas.errors import InvalidField, Verdict
from schemas.settings import Settings
from tests.contract.replicate_calls import (
    VIDEO,
    ask,
    clip,
    made,
    submitting,
    trouble,
)
from tests.doubles.calls import INPUT_SECRET, call_of, contains_no_secret, media
from tests.doubles.misbehaviour import Fault, Plan
from tests.doubles.replicate import Replicate, problem
from tests.doubles.replicate_document import schema_errors


@pytest.fixture
def double() -> Iterator[Replicate]:
    """Yield the double, and validate all its normal responses against Replicate's document afterwards."""
    with Replicate() as started:
        yield started
    assert schema_errors(started.answers) == []


def test_a_call_is_one_post_with_version_input_and_the_key_in_the_images_fragment(double: Replicate) -> None:
    call = clip(mode="fast")
    task, _ = made(double, call)
    (request,) = [seen for verb, seen in double.requests if verb == "submit"]
    assert request.json() == {
        "version": CLIP_VERSION,
        "input": {
            "image": f"{call.inputs['image'].url}#telecine-{call.key}",
            "mode": "fast",
            "clip_model_name": "ViT-L-14/openai",
        },
    }
    assert request.headers["authorization"] == f"Bearer {double.key}"
    assert request.headers["user-agent"] == "Telecine"
    assert list(double.tasks) == [task.id]
    assert (double.charges(call.key), double.count("submit")) == (1, 1)


@pytest.mark.parametrize("mode", ["best", "fast", "classic", "negative"])
def test_each_mode_of_the_interrogator_is_sent(double: Replicate, mode: str) -> None:
    task, _ = made(double, clip(mode=mode))
    assert double.tasks[task.id].asked["input"]["mode"] == mode


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mode": "slow"}, "data.mode: must be one of best, fast, classic, negative for clip-interrogator"),
        ({"clip_model_name": "ViT-L/14"}, "data.clip_model_name: must be one of ViT-L-14/openai, ViT-H-14/"),
    ],
)
def test_an_unsupported_value_is_refused_with_the_supported_ones(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidField) as caught:
        clip(**given)
    assert caught.value.message.startswith(message)


def test_the_interrogators_version_is_a_setting(double: Replicate) -> None:
    named = f"someone/clip:{'a' * 64}"
    model, *others = configured(Settings(replicate_model_id=named))
    assert others == list(MODELS[1:])
    assert configured(Settings()) == MODELS
    assert catalogue_of(Settings()).find("clip-interrogator", "image-to-prompt").remote == CLIP_VERSION
    task, _ = made(double, call_of(model, {}, {"image": media("in.png", "image/png")}))
    assert double.tasks[task.id].asked["version"] == named


def test_an_operators_model_has_its_own_names_and_constants(double: Replicate) -> None:
    entry = VIDEO.model_dump(exclude_defaults=True) | {"id": "hailuo"}
    model = Catalogue(MODELS).with_entries([entry]).find("hailuo", "image-to-video")
    call = call_of(model, {"prompt": "it flies", "seed": 7}, {"image": media("in.png", "image/png")})
    task, answer = made(double, call, 2)
    assert double.tasks[task.id].asked == {
        "version": "minimax/video-01",
        "input": {
            "prompt": "it flies",
            "seed": 7,
            "prompt_optimizer": False,
            "first_frame_image": f"{call.inputs['image'].url}#telecine-{call.key}",
        },
    }
    assert isinstance(answer, Ready)
    assert answer.url is not None
    assert answer.url.startswith(f"http://{double.result_host}/{task.id}/out-0.mp4")
    assert answer.value is None


@pytest.mark.parametrize("remote", ["nothing", "a/b/c", "a/b:latest", f"{'a' * 63}", "https://replicate.com/a/b"])
def test_a_remote_that_names_no_model_is_an_error_and_no_request_is_sent(double: Replicate, remote: str) -> None:
    call = dataclasses.replace(clip(), model=CLIP_INTERROGATOR.model_copy(update={"remote": remote}))
    error = trouble(double, submitting(call))
    assert (error.code, double.requests) == ("provider_not_configured", [])
    assert "owner/name:version" in error.message


def test_a_prediction_starts_processes_and_succeeds(double: Replicate) -> None:
    double.plan(Plan(polls=2))
    call = clip()

    async def work(provider: replicate_adapter.Replicate) -> list[Pending | Ready | Failed]:
        task = await provider.submit(call)
        return [await provider.poll(call, task) for _ in range(3)]

    first, second, last = ask(double, work)
    assert first == Pending(None, "starting")
    assert second == Pending(0.2, "processing")
    assert isinstance(last, Ready)
    assert last.value == "a red kite over dunes, golden hour, trending on artstation"
    assert last.url is None
    assert last.details["version"] == CLIP_VERSION
    assert last.details["model"] == "pharmapsychotic/clip-interrogator"


@pytest.mark.parametrize(
    ("plan", "code", "message", "charged"),
    [
        (Plan("fail", message="E1001: out of memory"), "provider_task_failed", "E1001: out of memory", True),
        (Plan("cancelled", message="canceled"), "provider_task_failed", "cancelled at Replicate", True),
        (Plan("cancelled", message="aborted"), "provider_task_failed", "before it started", False),
        (Plan("lost"), "provider_task_lost", "no longer knows the task", True),
        (Plan(result="gone"), "provider_result_invalid", "keeps results for one hour", True),
        (Plan(result="none"), "provider_result_invalid", "success without a result", True),
        (Plan(result="empty"), "provider_result_invalid", "success without a result", True),
    ],
)
def test_each_end_without_a_result_has_its_error(
    double: Replicate, plan: Plan, code: str, message: str, charged: bool
) -> None:
    if plan.outcome == "cancelled":
        double.plan(dataclasses.replace(plan, outcome="never"))
        call = clip()

        async def work(provider: replicate_adapter.Replicate) -> Pending | Ready | Failed:
            task = await provider.submit(call)
            double.tasks[task.id].cancelled = True
            return await provider.poll(call, task)

        answer = ask(double, work)
    else:
        double.plan(plan)
        _, answer = made(double, clip())
    assert isinstance(answer, Failed)
    assert (answer.error.code, answer.charged) == (code, charged)
    assert answer.error.verdict is Verdict.NEVER
    assert message in answer.error.message


def test_a_result_is_gone_after_an_hour(double: Replicate) -> None:
    double.retention_seconds = -1.0
    _, answer = made(double, clip())
    assert isinstance(answer, Failed)
    assert "one hour" in answer.error.message


def test_the_message_of_a_failure_has_no_key_and_no_query(double: Replicate) -> None:
    message = (
        f"cannot fetch https://media.example/in.png?X-Amz-Signature={INPUT_SECRET} with {double.key} " + "x" * 5000
    )
    double.plan(Plan("fail", message=message))
    _, answer = made(double, clip())
    assert isinstance(answer, Failed)
    assert contains_no_secret(answer.error, double.key)
    assert "cannot fetch https://media.example/in.png" in answer.error.message
    assert len(answer.error.message) < 400


@pytest.mark.parametrize(
    "body", ["", "{}", "[]", '"x"', "null", "<html>", '{"status": 7.5', '{"id": "x", "status": null}']
)
def test_an_invalid_response_instead_of_a_prediction_is_polled_again(double: Replicate, body: str) -> None:
    call = clip()
    task, _ = made(double, call)
    double.fault(Fault("poll", status=200, body=body))
    error = trouble(double, lambda provider: provider.poll(call, task))
    assert error.code == "provider_answer_invalid"
    assert isinstance(ask(double, lambda provider: provider.poll(call, task)), Ready)


def test_an_unknown_status_is_pending(double: Replicate) -> None:
    call = clip()
    task, _ = made(double, call)
    double.fault(Fault("poll", status=200, body='{"id": "x", "status": "booting", "output": null}'))
    assert ask(double, lambda provider: provider.poll(call, task)) == Pending(None, "booting")


@pytest.mark.parametrize(
    ("output", "url", "value"),
    [
        ("https://replicate.delivery/a.mp4", "https://replicate.delivery/a.mp4", None),
        (["https://replicate.delivery/a.png", "https://x.example/b.png"], "https://replicate.delivery/a.png", None),
        ([" a", " red", " kite "], None, "a red kite"),
        ("https://a.example is a good place", None, "https://a.example is a good place"),
        ({"words": [1, 2]}, None, {"words": [1, 2]}),
        (False, None, False),
    ],
)
def test_an_output_is_a_file_a_text_or_json(double: Replicate, output: Any, url: Any, value: Any) -> None:
    call = clip()
    task, _ = made(double, call)
    double.fault(Fault("poll", status=200, body=json.dumps({"status": "succeeded", "output": output})))
    answer = ask(double, lambda provider: provider.poll(call, task))
    assert isinstance(answer, Ready)
    assert (answer.url, answer.value) == (url, value)


def test_a_poll_is_sent_once_for_any_response(double: Replicate) -> None:
    call = clip()
    task, _ = made(double, call)
    for status in (429, 503, 504):
        double.fault(problem(status, "later", verb="poll"))
        before = double.count("poll")
        assert trouble(double, lambda provider: provider.poll(call, task)).verdict is Verdict.LATER
        assert double.count("poll") == before + 1


@pytest.mark.parametrize(("plan", "free"), [(Plan(seconds=60.0), True), (Plan("never"), False)])
def test_a_cancelled_prediction_stops_and_costs_nothing_if_it_had_not_begun(
    double: Replicate, plan: Plan, free: bool
) -> None:
    double.plan(plan)
    call = clip()

    async def work(provider: replicate_adapter.Replicate) -> tuple[bool, bool, Pending | Ready | Failed]:
        task = await provider.submit(call)
        stopped = await provider.cancel(call, task)
        nowhere = await provider.cancel(call, TaskRef("nosuchprediction"))
        return stopped, nowhere, await provider.poll(call, task)

    stopped, nowhere, answer = ask(double, work)
    assert (stopped, nowhere) == (free, False)
    assert isinstance(answer, Failed)
    assert "cancelled" in answer.error.message
    assert answer.charged is not free


def test_a_prediction_that_has_ended_by_itself_was_not_cancelled_and_is_paid(double: Replicate) -> None:
    call = clip()

    async def work(provider: replicate_adapter.Replicate) -> bool:
        task = await provider.submit(call)
        while not isinstance(await provider.poll(call, task), Ready):
            pass
        return await provider.cancel(call, task)

    assert not ask(double, work)


@pytest.mark.parametrize("id_", ["../models", "a/b", "a?b", "", "x" * 200])
def test_an_id_that_could_lead_to_another_path_is_not_polled(double: Replicate, id_: str) -> None:
    answer = ask(double, lambda provider: provider.poll(clip(), TaskRef(id_)))
    assert isinstance(answer, Failed)
    assert (answer.error.code, double.requests) == ("provider_task_lost", [])
