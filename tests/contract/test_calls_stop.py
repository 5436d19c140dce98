"""An engine that is told to stop: a call that is being sent is waited for, anything else is not for long."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from consumer.calls import engine as engine_module
from consumer.ledger.states import CallState, State
from tests.call_line import Line


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch, line: Line) -> Line:
    monkeypatch.setattr(engine_module, "STOP_SECONDS", 0.2)
    return line


def slowly(line: Line, verb: str, seconds: float) -> threading.Event:
    """The provider takes its time with every request of the verb; set when the first has come."""
    act, begun = getattr(line.alpha, verb), threading.Event()

    async def slow(*arguments: Any) -> Any:
        begun.set()
        await asyncio.sleep(seconds)
        return await act(*arguments)

    setattr(line.alpha, verb, slow)
    return begun


def stopped(line: Line, begun: threading.Event) -> float:
    """How long the engine took to stop once the request had come."""
    line.submit()
    assert line.advance() is State.WAITING
    line.start()
    assert begun.wait(30)
    began = time.monotonic()
    line.stop()
    return time.monotonic() - began


def test_a_call_that_is_being_sent_when_the_engine_stops_is_not_cut_off(line: Line) -> None:
    stopped(line, slowly(line, "submit", 1.5))
    assert (line.call().state, line.alpha.charges.total()) == (CallState.WORKING, 1)
    assert "outcome_unknown" not in line.events()
    line.start()
    line.until(lambda: line.call().settled)
    assert line.alpha.charges.total() == 1


def test_a_question_that_takes_long_holds_up_nobody(line: Line) -> None:
    assert stopped(line, slowly(line, "poll", 20.0)) < 10
    assert line.call().state is CallState.WORKING


def test_a_call_is_waited_for_no_longer_than_the_setting_says(line: Line) -> None:
    object.__setattr__(line.runtime, "settings", line.runtime.settings.model_copy(update={"call_stop_seconds": 1.0}))
    assert stopped(line, slowly(line, "submit", 30.0)) < 15


def test_an_idle_engine_stops_at_once(line: Line) -> None:
    line.start()
    began = time.monotonic()
    line.stop()
    assert time.monotonic() - began < 5
