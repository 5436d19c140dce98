"""Stopping a task at the provider: asked again while nobody hears it, and settled by what it cost."""

from __future__ import annotations

import itertools
import time

import pytest

from consumer.calls import retry_policy
from consumer.ledger.completion import end_idle, request_cancel
from consumer.ledger.states import CallState, State
from providers.base import Call, TaskRef
from schemas.errors import (
    JobCancelled,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderOutcomeUnknown,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
)
from tests.ask_pipeline import models
from tests.call_line import Line, raiser


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch, line: Line) -> Line:
    monkeypatch.setattr(retry_policy, "backoff", lambda failures: 0.2)
    line.alpha.polls = 1_000_000  # a task without an end
    return line


def unheard(line: Line, *errors: ProviderError) -> list[float]:
    """The provider raises these at the first wishes to stop a task, or the last for ever; when it was asked."""
    left, asked, cancel = list(errors), list[float](), line.alpha.cancel

    async def deaf(call: Call, task: TaskRef) -> bool:
        asked.append(time.monotonic())
        if left:
            raise left.pop(0)
        return await cancel(call, task)

    line.alpha.cancel = deaf  # type: ignore[method-assign]
    return asked


def cancelled_at_work(line: Line) -> None:
    line.submit()
    assert line.advance() is State.WAITING
    line.start()
    line.until(lambda: line.call().state is CallState.WORKING)
    request_cancel(line.runtime.database, "j", by="test")
    assert end_idle(line.runtime.database, "j", State.CANCELLED, JobCancelled(), None)
    line.until(lambda: line.call().settled)


@pytest.mark.parametrize(
    "error", [RateLimited("429", retry_after_seconds=0.3), ProviderUnavailable("503"), ProviderAnswerInvalid("<html>")]
)
def test_a_wish_to_stop_that_was_not_heard_is_told_again_in_a_while(line: Line, error: ProviderError) -> None:
    asked = unheard(line, error, error)
    cancelled_at_work(line)
    assert (line.call().state, line.call().spent, len(line.alpha.cancelled)) == (CallState.CANCELLED, 0, 1)
    assert len(asked) == 3
    assert all(later - earlier >= 0.19 for earlier, later in itertools.pairwise(asked))
    assert line.events().count("call_put_off") == 2


def test_a_provider_that_never_hears_it_is_asked_a_few_times_and_paid(line: Line) -> None:
    asked = unheard(line, *[ProviderUnavailable("503")] * 99)
    cancelled_at_work(line)
    assert (line.call().state, line.call().spent) == (CallState.CANCELLED, 100_000)
    assert len(asked) == retry_policy.CANCEL_TRIES


def test_a_refusal_to_stop_is_the_answer(line: Line) -> None:
    asked = unheard(line, ProviderRefused("no"))
    cancelled_at_work(line)
    assert (line.call().state, line.call().spent, len(asked)) == (CallState.CANCELLED, 100_000, 1)


def test_a_task_that_took_too_long_is_told_to_stop_until_it_is_heard(line: Line) -> None:
    object.__setattr__(line.runtime, "catalogue", models(timeout_seconds=0.3))
    asked = unheard(line, ProviderUnavailable("503"))
    job = line.finished(data={"models": ["first"]})
    assert (job.state, (job.error or {})["code"]) == (State.FAILED, "provider_timeout")
    assert (len(asked), len(line.alpha.cancelled), line.call().spent) == (2, 1, 0)


def test_an_outcome_that_cannot_be_looked_up_just_now_is_not_asked_for_without_a_pause(line: Line) -> None:
    asked: list[float] = []

    async def away(call: Call) -> TaskRef | None:
        asked.append(time.monotonic())
        raise ProviderUnavailable("503")

    line.alpha.find = away  # type: ignore[method-assign]
    line.alpha.after = raiser(ProviderOutcomeUnknown("reset"))
    line.submit()
    assert line.advance() is State.WAITING
    line.start()
    line.until(lambda: line.call().state is CallState.UNKNOWN)
    request_cancel(line.runtime.database, "j", by="test")
    assert end_idle(line.runtime.database, "j", State.CANCELLED, JobCancelled(), None)
    line.until(lambda: len(asked) >= 4)
    assert asked[3] - asked[0] >= 0.55
