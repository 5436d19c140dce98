"""``telecine retry``: which jobs it chooses, what it asks, what it prints (friction H2)."""

from __future__ import annotations

import pytest

from ops.cli import retry
from schemas.errors import InputNotFound, InvalidImage, TelecineError
from tests.cli_operator import Operator, an_operator, request

_operator = pytest.fixture(an_operator, name="operator")


def _failed(operator: Operator, *job_ids: str, error: TelecineError | None = None) -> None:
    for job_id in job_ids:
        operator.receive(job_id)
        operator.fail(operator.start(job_id), error or InvalidImage())


def _states(operator: Operator) -> dict[str, str]:
    return {job["job_id"]: job["status"] for job in operator.run("list", "--json").json}


def test_named_jobs_are_retried_and_others_are_refused_by_name_friction_H2(operator: Operator) -> None:
    _failed(operator, "a", "b")
    operator.completed("c")
    result = operator.run("retry", "a", "c", "guest", "a")
    assert result.status == 1
    lines = result.out.splitlines()
    assert lines[0].startswith("a  retried")
    assert "already_completed" in lines[1]
    assert "job_not_found" in lines[2]
    assert _states(operator) == {"a": "received", "b": "failed", "c": "completed"}
    assert "Retry 1 was requested by" in operator.run("explain", "a").out
    view = operator.run("retry", "b", "a", "--json").json
    assert [item["retried"] for item in view] == [True, False]
    assert view[1]["error"]["code"] == "job_not_ended"
    assert operator.run("retry", "a").status == 1


def test_a_filter_names_the_count_and_asks_friction_H2(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    _failed(operator, "a", "b")
    _failed(operator, "c", error=InputNotFound())
    operator.receive("d")
    operator.run("cancel", "d")
    by_code = ("retry", "--code", "invalid_image")
    refused = operator.run(*by_code)
    assert refused.status == 2
    assert "2 jobs" in refused.err
    assert "--yes" in refused.err
    dry = operator.run(*by_code, "--dry-run", "--json").json
    assert sorted(dry["jobs"]) == ["a", "b"]
    assert set(_states(operator).values()) == {"failed", "cancelled"}
    monkeypatch.setattr(retry, "_interactive", lambda: True)
    assert operator.run(*by_code, stdin=b"n\n").status != 0
    assert "received" not in _states(operator).values()
    asked = operator.run(*by_code, stdin=b"y\n")
    assert asked.status == 0
    assert "2 jobs" in asked.err
    assert _states(operator) == {"a": "received", "b": "received", "c": "failed", "d": "cancelled"}
    assert operator.run("retry", "--status", "cancelled", "--since", "1h", "--type", "reel", "--yes").status == 0
    assert operator.run("retry", "--all", "--yes").status == 0
    assert set(_states(operator).values()) == {"received"}


@pytest.mark.parametrize(
    "arguments",
    [(), ("a", "--all"), ("a", "--code", "x"), ("--status", "completed", "--yes"), ("--status", "waiting", "--yes")],
    ids=" ".join,
)
def test_all_is_never_implied_friction_H2(operator: Operator, arguments: tuple[str, ...]) -> None:
    _failed(operator, "a")
    result = operator.run("retry", *arguments)
    assert result.status == 2
    assert _states(operator) == {"a": "failed"}


def test_a_filter_without_a_match_says_so_friction_H2(operator: Operator) -> None:
    _failed(operator, "a")
    result = operator.run("retry", "--code", "no_such_code")
    assert (result.status, result.out) == (0, "")
    assert "No job matches" in result.err


@pytest.mark.parametrize(
    "command", [("retry",), ("retry", "--yes"), ("retry", "--dry-run"), ("list",), ("list", "--status", "failed")]
)
def test_a_code_that_no_job_has_is_answered_with_those_there_are(operator: Operator, command: tuple[str, ...]) -> None:
    operator.completed("c")
    assert operator.run(*command, "--code", "invalid_imgae").err == "No job matches.\n"
    _failed(operator, "a")
    _failed(operator, "b", error=InputNotFound())
    there = "The codes there are: input_not_found, invalid_image.\n"
    found = operator.run(*command, "--code", "invalid_imgae")
    assert (found.status, found.err) == (0, f"No job matches (did you mean invalid_image?). {there}")
    assert operator.run(*command, "--code", "x").err == f"No job matches. {there}"
    # A code that jobs have, but none of these.
    assert operator.run(*command, "--code", "invalid_image", "--tenant", "t").err == "No job matches.\n"


def test_a_retried_job_can_be_sent_again_and_is_a_duplicate_friction_H2(operator: Operator) -> None:
    _failed(operator, "a")
    assert operator.run("retry", "a").status == 0
    operator.arrive(request("a"))
    assert operator.run("status", "a", "--json").json["duplicates"] == 1
