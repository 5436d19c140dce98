"""The progress of a provider's task: in the ledger and in callbacks while the job is parked, and never in the way."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from consumer.calls import progress
from consumer.execution import outcome
from consumer.ledger import call_outcomes, leases, queries
from consumer.ledger.call_records import CallRow
from consumer.ledger.states import CallState, State
from consumer.ledger.tables import jobs
from providers.base import Call, Failed, Pending, Ready, TaskRef
from providers.memory_provider import MemoryProvider
from tests.call_line import Line

EVENTS: dict[str, Any] = {"callback": {"url": "https://shop.example/hook", "events": ["progress", "completed"]}}


class Reporting(MemoryProvider):
    """Reports one share after the other, each at ``each`` polls, and waits at the last one until ``finish``."""

    def __init__(self, *shares: Any, each: int = 1) -> None:
        super().__init__()
        self.left = [share for share in shares for _ in range(each)]
        self.asked = 0
        self.finish = False

    async def poll(self, call: Call, task: TaskRef) -> Pending | Ready | Failed:
        self.asked += 1
        if len(self.left) > 1:
            return Pending(self.left.pop(0))
        return Ready(value="an answer") if self.finish else Pending(self.left[0])


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_RECORD_SECONDS", 0.0)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the percentages that are written."""
    written: list[int] = []
    real = call_outcomes.record_progress

    def record(database: Any, grown: Any) -> None:
        written.extend(percentage for _, percentage, _ in grown)
        real(database, grown)

    monkeypatch.setattr(call_outcomes, "record_progress", record)
    return written


def parked(line: Line, provider: MemoryProvider, job_id: str = "j", **envelope: Any) -> None:
    """Submit and park a job whose call goes to ``provider``, and start the engine."""
    line.alpha = provider
    line.submit(job_id, **envelope)
    assert line.advance(job_id) is State.WAITING
    line.start()


def progress_events(line: Line, job_id: str = "j") -> list[int]:
    bodies = [json.loads(item.body) for item in queries.deliveries_of(line.runtime.database, job_id)]
    assert all(body["data"]["status"] == "running" for body in bodies if body["type"] == "job.progress")
    return [body["data"]["progress_percentage"] for body in bodies if body["type"] == "job.progress"]


@pytest.mark.usefixtures("at_once")
def test_m3_a_parked_job_shows_its_providers_progress(line: Line, writes: list[int]) -> None:
    provider = Reporting(0.1, 0.12, 0.5, 0.4, 0.73, each=3)
    parked(line, provider, **EVENTS)
    line.until(lambda: line.job().progress == 5 + 65)
    assert line.job().state is State.WAITING
    asked = provider.asked
    line.until(lambda: provider.asked > asked + 5)
    # One write for each growth, none for the polls in between, and a callback for each ten that was passed.
    assert writes == [14, 15, 50, 70]
    assert progress_events(line) == [14, 50, 70]
    provider.finish = True
    line.until(lambda: line.call().settled)
    line.stop()
    # The work after the call continues from there: its callbacks do not start again at ten percent.
    claim = leases.claim(line.runtime.database, "j", owner="one", seconds=60)
    assert claim is not None
    with outcome.heartbeat(line.runtime, claim) as heartbeat:
        for percentage in (12, 33, 81):
            heartbeat.progress(percentage)
            time.sleep(0.7)
        line.until(lambda: line.job().progress == 81)
    assert progress_events(line) == [14, 50, 70, 81]
    leases.park(line.runtime.database, claim.lease, seconds=0, event="retry_later", failures=0)
    assert line.advance() is State.COMPLETED
    assert (line.job().progress, line.alpha.charges.total()) == (100, 1)


def test_progress_is_recorded_at_most_every_two_seconds(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = []
    real = call_outcomes.record_progress

    def record(*arguments: Any) -> None:
        at = time.monotonic()
        real(*arguments)
        times.append(at)

    monkeypatch.setattr(call_outcomes, "record_progress", record)
    provider = Reporting(*(n / 99 for n in range(1, 100)))
    parked(line, provider)
    line.until(lambda: len(times) >= 2)
    assert times[1] - times[0] >= 2.0
    assert provider.asked > 2
    assert line.job().progress > 6


@pytest.mark.usefixtures("at_once")
def test_a_call_that_prepares_another_one_counts_little(line: Line) -> None:
    provider = Reporting(0.99)
    parked(line, provider, data={"film": False})
    line.until(lambda: line.job().progress == 94)
    recorder = progress.ProgressRecorder(line.runtime)

    def reported(call: CallRow, share: float) -> int:
        with line.runtime.database.write() as connection:
            connection.execute(jobs.update().values(progress=0))
        recorder.note(call, share)
        recorder.flush()
        return line.job().progress

    call = line.call()
    line.stop()
    assert reported(call, 0.99) == 94
    object.__setattr__(call, "id", "another")
    object.__setattr__(call.spec, "type", "image-to-prompt")
    assert reported(call, 0.99) == 19


@pytest.mark.usefixtures("at_once")
def test_strange_progress_is_harmless(line: Line) -> None:
    provider = Reporting(None, -1.0, float("nan"), "0.5", True, 1e9, float("inf"))
    parked(line, provider)
    line.until(lambda: provider.asked > 8)
    assert line.job().progress == 95
    provider.finish = True
    line.until(lambda: line.call().settled)
    assert line.advance() is State.COMPLETED


@pytest.mark.usefixtures("at_once")
def test_progress_that_cannot_be_recorded_does_not_touch_the_call(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = []

    def fails(*_: Any) -> None:
        failures.append(1)
        raise OSError("no space left")

    monkeypatch.setattr(call_outcomes, "record_progress", fails)
    provider = Reporting(0.2, 0.4, 0.6)
    parked(line, provider, **EVENTS)
    line.until(lambda: len(failures) > 3)  # tried again at each poll
    provider.finish = True
    line.until(lambda: line.call().settled)
    assert line.call().state is CallState.DONE
    assert line.advance() is State.COMPLETED
    assert (progress_events(line), line.alpha.charges.total()) == ([], 1)


@pytest.mark.usefixtures("at_once")
def test_progress_of_a_job_that_is_not_parked_any_more_is_not_recorded(line: Line) -> None:
    provider = Reporting(0.3)
    parked(line, provider, **EVENTS)
    line.until(lambda: line.job().progress == 32)
    line.stop()
    recorder, call = progress.ProgressRecorder(line.runtime), line.call()
    stale = queries.waiting_jobs(line.runtime.database, ["j"])
    with line.runtime.database.write() as connection:
        connection.execute(jobs.update().values(state="cancelled"))
    recorder.note(call, 0.9)
    recorder.flush()
    call_outcomes.record_progress(line.runtime.database, [(stale[0], 90, None)])  # read before it ended
    assert (line.job().progress, progress_events(line)) == (32, [32])
