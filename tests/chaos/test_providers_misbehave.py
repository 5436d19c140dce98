"""Providers that drop responses, stall, refuse or return wrong files: the charges, and the error in the callback."""

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
    with ProviderLine(tmp_path_factory.mktemp("providers") / "home", provider_limits=limits) as made:
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
def test_a_call_whose_response_is_lost_after_the_charge_is_not_paid_again(
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
    check_failure_callback(line, name, "outcome_unknown", "It is unknown whether cococlip accepted the call")


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
def test_a_task_without_a_valid_result_fails_its_job_with_a_reason(
    line: ProviderLine, name: str, plan: Plan, code: str, words: str
) -> None:
    line.cococlip.plan(plan)
    line.film(name)
    job = line.telecine.wait_for_job(name)
    assert (job.state, (job.error or {})["code"]) == (State.FAILED, code)
    assert line.cococlip.charges(name) == 1
    check_failure_callback(line, name, code, words)


def test_a_rate_limited_call_is_retried_and_paid_once(line: ProviderLine) -> None:
    line.cococlip.fault(Fault(status=429, headers={"retry-after": "1"}, times=2))
    line.film("busy")
    job = line.telecine.wait_for_job("busy")
    line.check_completed(job)
    assert line.cococlip.charges("busy") == 1


def test_a_lost_response_is_looked_up_at_a_provider_that_can_be_searched(line: ProviderLine) -> None:
    line.replicate.fault(Fault(act="drop", accept=True))
    line.prompt("found")
    job = line.telecine.wait_for_job("found")
    line.check_completed(job)
    assert (line.replicate.charges(), line.replicate.count("submit")) == (1, 1)


def check_failure_callback(line: ProviderLine, job_id: str, code: str, words: str) -> None:
    """Check the error in the job's callback, and that every call is settled."""

    def callback_errors() -> list[dict[str, object]]:
        bodies = [attempt.json() for attempt in line.receiver.attempts]
        return [body["data"]["error"] for body in bodies if body["data"]["id"] == job_id]

    (error,) = wait_until(callback_errors)
    assert error["code"] == code
    assert words in str(error["message"])
    assert error["step"] == "generate"
    assert "Signature" not in str(error)
    database = line.telecine.database()
    check_settled(database, job_id)
    database.close()
