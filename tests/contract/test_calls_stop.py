"""Stopping an engine: it waits for a call that is being sent, and only briefly for anything else."""

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
    """Return the line, with a short wait for everything but submissions."""
    monkeypatch.setattr(engine_module, "STOP_SECONDS", 0.2)
    return line


def delay(line: Line, verb: str, seconds: float) -> threading.Event:
    """Delay the adapter's method ``verb``; the event is set when its first call begins."""
    act, begun = getattr(line.alpha, verb), threading.Event()

    async def slow(*arguments: Any) -> Any:
        begun.set()
        await asyncio.sleep(seconds)
        return await act(*arguments)

    setattr(line.alpha, verb, slow)
    return begun


def stop_duration(line: Line, begun: threading.Event) -> float:
    """Stop the engine once the request has begun, and return how long that took."""
    line.submit()
    assert line.advance() is State.WAITING
    line.start()
    assert begun.wait(30)
    began = time.monotonic()
    line.stop()
    return time.monotonic() - began


def test_a_call_that_is_being_sent_when_the_engine_stops_is_not_cut_off(line: Line) -> None:
    stop_duration(line, delay(line, "submit", 1.5))
    assert (line.call().state, line.alpha.charges.total()) == (CallState.WORKING, 1)
    assert "outcome_unknown" not in line.events()
    line.start()
    line.until(lambda: line.call().settled)
    assert line.alpha.charges.total() == 1


def test_a_slow_poll_does_not_delay_the_stop(line: Line) -> None:
    assert stop_duration(line, delay(line, "poll", 20.0)) < 10
    assert line.call().state is CallState.WORKING


def test_the_wait_for_a_call_is_limited_by_the_setting(line: Line) -> None:
    object.__setattr__(line.runtime, "settings", line.runtime.settings.model_copy(update={"call_stop_seconds": 1.0}))
    assert stop_duration(line, delay(line, "submit", 30.0)) < 15


def test_an_idle_engine_stops_at_once(line: Line) -> None:
    line.start()
    began = time.monotonic()
    line.stop()
    assert time.monotonic() - began < 5
