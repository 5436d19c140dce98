"""Routes: the same model at another provider, tried only if nothing was accepted before, and paid at most once."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from consumer.ledger import accounts, calls, queries
from consumer.ledger.states import CallState, State
from providers.base import Failed, Ready
from schemas.errors import ProviderOutcomeUnknown, ProviderRefused, ProviderTaskFailed, ProviderUnauthorized
from tests.ask_pipeline import models
from tests.call_line import Line, raiser
from tests.ledger_views import Ledger

ROUTED: list[dict[str, Any]] = [{"id": "first", "routes": ["second"]}]


@pytest.fixture
def routed(line: Line) -> Line:
    line.runtime = dataclasses.replace(line.runtime, catalogue=models().with_entries(ROUTED))
    line.alpha.can_find = False
    return line


def charges(line: Line) -> tuple[int, int]:
    return line.alpha.charges.total(), line.beta.charges.total()


@pytest.mark.parametrize("error", [ProviderRefused("no cats"), ProviderUnauthorized("no such key")])
def test_a_certain_refusal_turns_to_the_route(routed: Line, error: Exception) -> None:
    routed.alpha.before = raiser(error)
    job = routed.finished(data={"length": 3})
    assert (job.state, charges(routed)) == (State.COMPLETED, (0, 1))
    call = routed.call()
    assert (call.model, call.candidate.parameters, call.spent) == ("second", {"length": 3}, 100_000)
    chosen = [entry for entry in queries.timeline_of(routed.runtime.database, "j") if entry.event == "model_chosen"]
    assert chosen[-1].detail["provider"] == "beta"
    (why,) = chosen[-1].detail["passed_over"]
    assert why["model"] == "first"


def test_a_missing_key_turns_to_the_route(routed: Line) -> None:
    routed.submit()
    routed.advance()
    routed.start(missing="alpha")
    routed.until(lambda: routed.call().state is CallState.DONE)
    assert (routed.advance(), charges(routed)) == (State.COMPLETED, (0, 1))


@pytest.mark.parametrize("charged", [True, False])
def test_an_accepted_task_that_fails_does_not_turn_to_the_route(routed: Line, charged: bool) -> None:
    routed.alpha.result = lambda call: Failed(ProviderTaskFailed("no ideas"), charged=charged)
    job = routed.finished()
    assert (job.state, charges(routed)) == (State.FAILED, (1, 0))
    assert job.error is not None
    assert job.error["message"].startswith("no ideas")


def test_a_model_that_the_request_names_is_tried_as_before_even_if_it_is_a_route(routed: Line) -> None:
    routed.alpha.result = lambda call: Failed(ProviderTaskFailed("no ideas"), charged=True)
    job = routed.finished(data={"models": ["First", "Second"]})
    assert (job.state, charges(routed)) == (State.COMPLETED, (1, 1))


@pytest.mark.parametrize("accepted", [True, False])
def test_an_unknown_outcome_does_not_turn_to_the_route(routed: Line, accepted: bool) -> None:
    lost = raiser(ProviderOutcomeUnknown("the connection broke"))
    if accepted:
        routed.alpha.after = lost
    else:
        routed.alpha.before = lost
    routed.submit()
    routed.advance()
    routed.start()
    routed.until(lambda: routed.call().state is CallState.UNKNOWN)
    routed.stop()
    assert len(calls.of_job(routed.runtime.database, "j")) == 1
    assert charges(routed) == (int(accepted), 0)


def test_a_route_that_is_not_set_up_hides_no_error(routed: Line) -> None:
    routed.alpha.before = raiser(ProviderRefused("no cats"))
    routed.submit()
    routed.advance()
    routed.start(missing="beta")
    routed.until(lambda: routed.call().settled)
    assert routed.advance() is State.FAILED
    error = routed.job().error
    assert error is not None
    assert (error["code"], error["message"]) == ("provider_refused", "no cats")


@pytest.mark.parametrize("set_up", [True, False])
def test_an_open_breaker_turns_to_the_route_only_if_it_is_set_up(ledger: Ledger, tmp_path: Any, set_up: bool) -> None:
    limits = {"breaker_failures": 1, "breaker_seconds": 60.0 if set_up else 1.0}
    line = Line(ledger, tmp_path, provider_limits={"alpha": limits})
    line.runtime = dataclasses.replace(line.runtime, catalogue=models().with_entries(ROUTED))
    try:
        database = line.runtime.database
        alpha = line.runtime.settings.limits_of("alpha")
        with database.write() as connection:
            accounts.allowance(database, connection, "alpha", alpha, database.now())
            accounts.record_failure(connection, "alpha", alpha, "it is down")
        line.submit()
        line.advance()
        line.start(missing="" if set_up else "beta")
        line.until(lambda: line.call().state is CallState.DONE)
        assert charges(line) == ((0, 1) if set_up else (1, 0))
    finally:
        line.close()


@pytest.mark.parametrize(("price", "state"), [("0.02", State.COMPLETED), ("0", State.FAILED)])
def test_a_call_over_the_budget_turns_to_a_route_only_if_that_has_a_price(
    ledger: Ledger, tmp_path: Any, price: str, state: State
) -> None:
    line = Line(ledger, tmp_path, budgets={"*": {"usd": 0.05, "period": "ever"}})
    entries: list[dict[str, Any]] = [{**ROUTED[0], "price": "0.10"}, {"id": "second", "price": price}]
    line.runtime = dataclasses.replace(line.runtime, catalogue=models().with_entries(entries))
    try:
        line.submit()
        line.advance()
        line.start()
        line.until(lambda: line.call().settled)
        assert line.advance() is state
        assert charges(line) == (0, int(state is State.COMPLETED))
        assert (line.job().error or {"code": None})["code"] == (None if price != "0" else "budget_exceeded")
    finally:
        line.close()


def test_the_cost_that_the_route_reports_is_what_the_call_has_cost(routed: Line) -> None:
    routed.alpha.before = raiser(ProviderRefused("no cats"))
    routed.beta.result = lambda call: Ready(value="a poem", price="0.020971")
    assert routed.finished().state is State.COMPLETED
    assert (routed.call().reserved, routed.call().spent) == (0, 20_971)
