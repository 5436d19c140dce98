"""Vendors that lose answers, stall, refuse, forget and lie: what each costs, and what the producer is told."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from consumer.ledger.states import State
from tests.doubles.misbehaviour import Fault, Plan
from tests.provider_line import ProviderLine, check_settled
from tests.telecine_process import wait_until

_CALM = {"breaker_failures": 1000, "burst": 1000, "rate_per_minute": 60000}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderLine]:
    limits = json.dumps({"cococlip": _CALM, "replicate": _CALM})
    with ProviderLine(tmp_path_factory.mktemp("vendors") / "home", provider_limits=limits) as made:
        made.telecine.start()
        yield made


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("dropped", Fault(act="drop", accept=True)),
        ("reset", Fault(act="reset", accept=True)),
        ("cut", Fault(act="cut", accept=True)),
        ("error", Fault(status=503, accept=True)),
        ("stalled", Fault(act="slow", seconds=15.0)),
        ("nameless", Fault(status=200, body="{}", accept=True)),
    ],
)
def test_an_answer_that_is_lost_after_the_vendor_has_charged_is_never_paid_for_again(
    line: ProviderLine, name: str, fault: Fault
) -> None:
    line.cococlip.fault(fault)
    line.film(name)
    call = line.unknown(name)
    assert (call.reserved, call.due_at) == (100_000, None)
    line.telecine.run("resolve", name, "--fail")
    job = line.telecine.wait_for_job(name)
    assert (job.state, (job.error or {})["code"]) == (State.FAILED, "outcome_unknown")
    assert line.cococlip.charges(name) == 1
    check_told_of_failure(line, name, "outcome_unknown", "It is unknown whether cococlip accepted the call")


@pytest.mark.parametrize(
    ("name", "plan", "code", "words"),
    [
        ("lost", Plan("lost"), "provider_task_lost", "Cococlip no longer knows the task"),
        ("failed", Plan("fail", message="no cats"), "provider_task_failed", "no cats"),
        ("page", Plan(result="html"), "provider_result_invalid", "is a web page, not mp4"),
        ("words", Plan(result="text"), "provider_result_invalid", "is of an unknown kind, not mp4"),
        ("empty", Plan(result="empty"), "provider_result_invalid", "is of an unknown kind, not mp4"),
        ("private", Plan(result="private"), "provider_result_invalid", "which Telecine may not call"),
        ("expired", Plan(result="gone"), "provider_result_invalid", "result is gone"),
    ],
)
def test_a_task_that_does_not_deliver_fails_its_job_in_words(
    line: ProviderLine, name: str, plan: Plan, code: str, words: str
) -> None:
    line.cococlip.plan(plan)
    line.film(name)
    job = line.telecine.wait_for_job(name)
    assert (job.state, (job.error or {})["code"]) == (State.FAILED, code)
    assert line.cococlip.charges(name) == 1
    check_told_of_failure(line, name, code, words)


def test_a_vendor_that_asks_to_slow_down_is_asked_again_and_paid_once(line: ProviderLine) -> None:
    line.cococlip.fault(Fault(status=429, headers={"retry-after": "1"}, times=2))
    line.film("busy")
    job = line.telecine.wait_for_job("busy")
    line.check_completed(job)
    assert line.cococlip.charges("busy") == 1


def test_a_vendor_that_can_be_searched_is_asked_for_the_answer_that_was_lost(line: ProviderLine) -> None:
    line.replicate.fault(Fault(act="drop", accept=True))
    line.prompt("found")
    job = line.telecine.wait_for_job("found")
    line.check_completed(job)
    assert (line.replicate.charges(), line.replicate.count("submit")) == (1, 1)


def check_told_of_failure(line: ProviderLine, job_id: str, code: str, words: str) -> None:
    """What the producer gets; and every call of the job is settled."""

    def told() -> list[dict[str, object]]:
        bodies = [attempt.json() for attempt in line.receiver.attempts]
        return [body["data"]["error"] for body in bodies if body["data"]["id"] == job_id]

    (error,) = wait_until(told)
    assert error["code"] == code
    assert words in str(error["message"])
    assert error["step"] == "generate"
    assert "Signature" not in str(error)
    database = line.telecine.database()
    check_settled(database, job_id)
    database.close()
