"""A call of Replicate whose response was lost is found in the list, or proved absent, or left to an operator."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator

import pytest

from providers.base import Ready, TaskRef
from schemas.errors import ProviderOutcomeUnknown
from schemas.settings import Settings
from tests.contract.replicate_calls import (
    SEEDED,
    WORDS,
    ask,
    clip,
    lose,
    made,
    seek,
    submitting,
    trouble,
)
from tests.doubles.calls import call_of
from tests.doubles.misbehaviour import Fault
from tests.doubles.replicate import Replicate
from tests.doubles.replicate_document import schema_errors


@pytest.fixture
def double() -> Iterator[Replicate]:
    """Yield the double, and validate all its normal responses against Replicate's document afterwards."""
    with Replicate() as started:
        yield started
    assert schema_errors(started.answers) == []


def test_a_lost_call_is_found_among_calls_of_the_same_image(double: Replicate) -> None:
    calls = [clip(mode="fast") for _ in range(8)]
    ids = [lose(double, call) for call in calls]
    for call, task in zip(calls, ids, strict=True):
        assert seek(double, call) == TaskRef(task)
    assert seek(double, clip(mode="fast")) is None
    assert double.count("submit") == 8


def test_a_lost_call_is_found_on_the_last_of_many_pages(double: Replicate) -> None:
    double.page_size = 3
    call = clip()
    task = lose(double, call)
    for _ in range(10):
        made(double, clip())
    assert seek(double, call) == TaskRef(task)
    assert double.count("find") == 4


def test_a_call_that_never_arrived_is_certainly_absent(double: Replicate) -> None:
    call = clip()
    double.fault(Fault("submit", "drop"))
    trouble(double, submitting(call))
    made(double, clip())
    assert seek(double, call) is None


def test_absence_counts_only_when_the_submission_is_old_enough(double: Replicate) -> None:
    call = dataclasses.replace(clip(), submitted_at=time.time() - 5)
    error = trouble(double, lambda provider: provider.find(call), replicate_settle_seconds=300.0)
    assert error.code == "outcome_unknown"
    assert error.retry_after_seconds == pytest.approx(295, abs=20)
    assert seek(double, dataclasses.replace(call, submitted_at=time.time() - 31), replicate_settle_seconds=0.0) is None
    lost_one = clip()
    task = lose(double, lost_one)
    assert seek(double, lost_one, replicate_settle_seconds=30.0) == TaskRef(task)


@pytest.mark.parametrize("apart", [-600, 600])
def test_clock_skew_makes_no_call_look_absent(double: Replicate, apart: float) -> None:
    call = clip()
    task = lose(double, call)
    # Both times come from the ledger's clock.
    sent = time.time() + apart
    theirs = dataclasses.replace(call, submitted_at=sent, now=sent + 10)
    assert ask(double, lambda provider: provider.find(theirs), replicate_settle_seconds=30.0) == TaskRef(task)
    absent = dataclasses.replace(clip(), submitted_at=sent, now=sent + 10)
    error = trouble(double, lambda provider: provider.find(absent), replicate_settle_seconds=30.0)
    assert error.code == "outcome_unknown"
    assert error.retry_after_seconds == pytest.approx(20, abs=1)


def test_a_call_counts_as_absent_only_after_a_timed_out_request_could_have_arrived() -> None:
    settings = Settings()
    assert settings.replicate_settle_seconds >= settings.exchange_timeout_seconds + 120


def test_a_seed_from_the_key_distinguishes_calls_with_the_same_prompt(double: Replicate) -> None:
    calls = [call_of(SEEDED, {"prompt": "a red kite"}) for _ in range(4)]
    ids = [lose(double, call) for call in calls]
    assert [seek(double, call) for call in calls] == [TaskRef(task) for task in ids]
    assert seek(double, call_of(SEEDED, {"prompt": "a red kite"})) is None


def test_the_same_call_sends_the_same_seed_again(double: Replicate) -> None:
    call = call_of(SEEDED, {"prompt": "a red kite"})
    _, standing = made(double, call, 2)
    assert isinstance(standing, Ready)
    assert standing.details["seed"] == int(call.key[:8], 16) & 0x7FFFFFFF


def test_calls_that_cannot_be_distinguished_are_left_to_an_operator(double: Replicate) -> None:
    call, twin = call_of(WORDS, {"prompt": "a red kite"}), call_of(WORDS, {"prompt": "a red kite"})
    ids = [lose(double, call), lose(double, twin)]
    error = trouble(double, lambda provider: provider.find(dataclasses.replace(call, submitted_at=time.time())))
    assert error.code == "outcome_unknown"
    assert all(task in error.message for task in ids)
    assert seek(double, call_of(WORDS, {"prompt": "a blue kite"})) is None


def test_a_prediction_whose_input_is_removed_is_left_to_an_operator(double: Replicate) -> None:
    call = clip()
    task = lose(double, call)
    ask(double, lambda provider: provider.poll(call, TaskRef(task)))
    double.change(task, result="gone")
    error = trouble(double, lambda provider: provider.find(dataclasses.replace(call, submitted_at=time.time())))
    assert (error.code, task in error.message) == ("outcome_unknown", True)


def test_a_list_that_hides_fragments_never_makes_a_call_look_absent(double: Replicate) -> None:
    double.echoes_fragments = False
    call = clip()
    lose(double, call)
    with pytest.raises(ProviderOutcomeUnknown):
        seek(double, call)
    assert seek(double, clip(mode="fast")) is None


@pytest.mark.parametrize("body", ["", "{}", '{"results": null}', '{"results": ["x"]}', '{"results": {}}'])
def test_an_unreadable_list_does_not_prove_absence(double: Replicate, body: str) -> None:
    double.fault(Fault("find", status=200, body=body))
    assert trouble(double, lambda provider: provider.find(clip())).code == "provider_answer_invalid"


def test_a_link_to_another_host_is_not_followed(double: Replicate) -> None:
    call = clip()
    task = lose(double, call)
    elsewhere = "http://169.254.169.254/latest/meta-data?cursor=0"
    double.fault(Fault("find", status=200, body=json.dumps({"next": elsewhere, "results": []})))
    assert seek(double, call) == TaskRef(task)
    assert [seen.path for verb, seen in double.requests if verb == "find"] == ["/v1/predictions"] * 2


def test_an_endless_list_is_not_read_to_its_end(double: Replicate) -> None:
    body = json.dumps({"next": f"{double.url}/v1/predictions?cursor=0", "results": []})
    double.fault(Fault("find", status=200, body=body, times=-1))
    assert trouble(double, lambda provider: provider.find(clip())).code == "outcome_unknown"
    assert double.count("find") == 100
