"""Cancelling a task at the provider: retried while the provider is unavailable, and settled with its cost."""

from __future__ import annotations

import itertools
import time

import pytest

from consumer.calls import retry_policy
from consumer.ledger.completion import finish_unleased, request_cancel
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
    line.alpha.polls = 1_000_000  # never ends
    return line


def cancel_fails(line: Line, *errors: ProviderError) -> list[float]:
    """Make the first cancel requests fail with ``errors``; return the times of all cancel requests."""
    left, request_times, cancel = list(errors), list[float](), line.alpha.cancel

    async def cancel_or_fail(call: Call, task: TaskRef) -> bool:
        request_times.append(time.monotonic())
        if left:
            raise left.pop(0)
        return await cancel(call, task)

    line.alpha.cancel = cancel_or_fail  # type: ignore[method-assign]
    return request_times


def cancel_while_working(line: Line) -> None:
    line.submit()
    assert line.advance() is State.WAITING
    line.start()
    line.until(lambda: line.call().state is CallState.WORKING)
    request_cancel(line.runtime.database, "j", by="test")
    assert finish_unleased(line.runtime.database, "j", State.CANCELLED, JobCancelled(), None)
    line.until(lambda: line.call().settled)


@pytest.mark.parametrize(
    "error", [RateLimited("429", retry_after_seconds=0.3), ProviderUnavailable("503"), ProviderAnswerInvalid("<html>")]
)
def test_a_cancel_request_that_failed_is_retried_with_backoff(line: Line, error: ProviderError) -> None:
    request_times = cancel_fails(line, error, error)
    cancel_while_working(line)
    assert (line.call().state, line.call().spent, len(line.alpha.cancelled)) == (CallState.CANCELLED, 0, 1)
    assert len(request_times) == 3
    assert all(later - earlier >= 0.19 for earlier, later in itertools.pairwise(request_times))
    assert line.events().count("call_put_off") == 2


def test_a_cancel_request_is_retried_a_few_times_and_the_task_is_then_paid(line: Line) -> None:
    request_times = cancel_fails(line, *[ProviderUnavailable("503")] * 99)
    cancel_while_working(line)
    assert (line.call().state, line.call().spent) == (CallState.CANCELLED, 100_000)
    assert len(request_times) == retry_policy.CANCEL_TRIES


def test_a_refused_cancel_request_is_final(line: Line) -> None:
    request_times = cancel_fails(line, ProviderRefused("no"))
    cancel_while_working(line)
    assert (line.call().state, line.call().spent, len(request_times)) == (CallState.CANCELLED, 100_000, 1)


def test_cancelling_an_overdue_task_is_retried(line: Line) -> None:
    object.__setattr__(line.runtime, "catalogue", models(timeout_seconds=0.3))
    request_times = cancel_fails(line, ProviderUnavailable("503"))
    job = line.finished(data={"models": ["first"]})
    assert (job.state, (job.error or {})["code"]) == (State.FAILED, "provider_timeout")
    assert (len(request_times), len(line.alpha.cancelled), line.call().spent) == (2, 1, 0)


def test_a_failed_look_up_is_retried_with_backoff(line: Line) -> None:
    request_times: list[float] = []

    async def away(call: Call) -> TaskRef | None:
        request_times.append(time.monotonic())
        raise ProviderUnavailable("503")

    line.alpha.find = away  # type: ignore[method-assign]
    line.alpha.after = raiser(ProviderOutcomeUnknown("reset"))
    line.submit()
    assert line.advance() is State.WAITING
    line.start()
    line.until(lambda: line.call().state is CallState.UNKNOWN)
    request_cancel(line.runtime.database, "j", by="test")
    assert finish_unleased(line.runtime.database, "j", State.CANCELLED, JobCancelled(), None)
    line.until(lambda: len(request_times) >= 4)
    assert request_times[3] - request_times[0] >= 0.55
