"""Provider calls on both ledgers: paid at most once, and the job is parked while the provider works."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.calls.recorder import CallRecorder
from consumer.ledger import accounts, call_claims, call_outcomes, queries
from consumer.ledger.call_claims import ClaimedCall, SubmissionPolicy
from consumer.ledger.call_records import CallTask
from consumer.ledger.completion import finish_unleased, request_cancel
from consumer.ledger.database import Database
from consumer.ledger.states import CallState, State
from consumer.ledger.tables import calls
from consumer.ledger.together import write_together
from providers.base import Call, Failed, Ready
from schemas.accounts import ProviderLimits
from schemas.errors import (
    JobCancelled,
    LeaseLost,
    ProviderOutcomeUnknown,
    ProviderRefused,
    ProviderTaskFailed,
    ProviderUnavailable,
    RateLimited,
)
from tests.ask_pipeline import models
from tests.call_line import Line, raiser
from tests.ledger_views import Ledger


def test_a_job_is_parked_while_its_provider_works_and_finishes_with_the_answer(line: Line) -> None:
    job = line.finished()
    assert job.state is State.COMPLETED
    assert line.alpha.charges.total() == 1
    assert (line.call().state, line.call().spent, line.call().reserved) == (CallState.DONE, 100_000, 0)
    manifest = json.loads((line.runtime.settings.storage_folder / "results" / "j" / "manifest.json").read_text())
    assert (manifest["provider"], manifest["model"], manifest["cost"]["amount"]) == ("alpha", "first", "0.10")
    assert manifest["details"]["calls"][0]["key"] == line.call().id
    story = line.events()
    line_of_events = ("model_chosen", "parked", "call_accepted", "call_ready", "call_done", "completed")
    assert [event for event in story if event in line_of_events] == list(line_of_events)


def test_a_parked_job_is_not_claimed(line: Line) -> None:
    line.submit()
    assert line.advance() is State.WAITING
    assert line.advance() is None  # not due until the engine wakes it
    assert line.call().state is CallState.QUEUED


def test_a_call_that_was_not_accepted_is_retried_and_paid_once(line: Line) -> None:
    errors = [ProviderUnavailable("no route"), RateLimited("slow down", retry_after_seconds=0.05)]
    line.alpha.before = lambda call: raiser(errors.pop())(call) if errors else None
    assert line.finished().state is State.COMPLETED
    assert line.alpha.charges.total() == 1
    assert line.events().count("call_put_off") == 2


def test_an_unknown_outcome_is_looked_up_and_its_task_is_polled(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.ledger.call_outcomes.LOOK_UP_SECONDS", 0.1)
    line.alpha.after = raiser(ProviderOutcomeUnknown("connection reset"))
    assert line.finished().state is State.COMPLETED
    assert line.alpha.charges.total() == 1
    assert "outcome_unknown" in line.events()


def test_a_call_that_never_arrived_is_submitted_after_the_look_up(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.ledger.call_outcomes.LOOK_UP_SECONDS", 0.1)
    errors = [ProviderOutcomeUnknown("connection reset")]
    line.alpha.before = lambda call: raiser(errors.pop())(call) if errors else None
    assert line.finished().state is State.COMPLETED
    assert line.alpha.charges.total() == 1
    assert "call_not_found" in line.events()


def test_an_unknown_outcome_at_a_provider_without_search_waits_for_an_operator(line: Line) -> None:
    line.alpha.can_find = False
    line.alpha.after = raiser(ProviderOutcomeUnknown("connection reset"))
    line.submit()
    line.advance()
    line.start()
    line.until(lambda: line.call().state is CallState.UNKNOWN)
    time.sleep(0.3)
    call = line.call()
    assert (call.state, call.due_at, call.reserved) == (CallState.UNKNOWN, None, 100_000)
    assert line.job().state is State.WAITING
    assert line.alpha.charges.total() == 1


def test_an_unexpected_exception_of_an_adapter_is_an_unknown_outcome(line: Line) -> None:
    line.alpha.can_find = False
    line.alpha.after = raiser(ZeroDivisionError())
    line.submit()
    line.advance()
    line.start()
    line.until(lambda: line.call().state is CallState.UNKNOWN)
    assert line.alpha.charges.total() == 1


def test_the_next_model_is_called_if_one_fails_and_the_reason_is_recorded(line: Line) -> None:
    line.alpha.before = raiser(ProviderRefused("no cats"))
    job = line.finished(data={"models": ["first", "second"]})
    assert job.state is State.COMPLETED
    assert (line.alpha.charges.total(), line.beta.charges.total()) == (0, 1)
    chosen = [e for e in queries.timeline_of(line.runtime.database, "j") if e.event == "model_chosen"]
    assert chosen[-1].detail["model"] == "second"
    assert chosen[-1].detail["passed_over"] == [{"model": "first", "why": "provider_refused: no cats"}]


def test_a_task_that_fails_fails_the_job_with_the_providers_reason(line: Line) -> None:
    line.alpha.result = lambda call: Failed(ProviderTaskFailed("the prompt is forbidden"))
    job = line.finished()
    assert (job.state, job.error["code"] if job.error else None) == (State.FAILED, "provider_task_failed")
    assert (line.call().spent, line.call().reserved) == (0, 0)


def test_a_task_over_its_time_limit_is_cancelled_and_the_job_fails(line: Line) -> None:
    line.runtime = dataclasses.replace(line.runtime, catalogue=models(timeout_seconds=0.3))
    line.alpha.polls = 10_000
    job = line.finished()
    assert (job.state, job.error["code"] if job.error else None) == (State.FAILED, "provider_timeout")
    words = (job.error or {})["message"]  # gap_L9: each name once
    assert re.match(r"alpha did not finish within \d+ s \(model first[;)]", words), words
    assert "timeout_seconds" in words
    assert line.alpha.cancelled == ["task-1"]


def test_cancelling_a_parked_job_reaches_the_provider(line: Line) -> None:
    line.alpha.polls = 10_000
    line.submit()
    line.advance()
    line.start()
    line.until(lambda: line.call().state is CallState.WORKING)
    request_cancel(line.runtime.database, "j", by="test")
    assert finish_unleased(line.runtime.database, "j", State.CANCELLED, JobCancelled(), None)
    line.until(lambda: line.call().settled)
    assert (line.call().state, line.alpha.cancelled, line.call().spent) == (CallState.CANCELLED, ["task-1"], 0)


def test_a_cancelled_job_whose_call_was_not_sent_is_never_charged(line: Line) -> None:
    line.submit()
    line.advance()
    request_cancel(line.runtime.database, "j", by="test")
    finish_unleased(line.runtime.database, "j", State.CANCELLED, JobCancelled(), None)
    line.start()
    line.until(lambda: line.call().settled)
    assert line.call().state is CallState.CANCELLED
    time.sleep(0.3)
    assert line.alpha.charges.total() == 0


def test_a_budget_stops_the_call_that_would_exceed_it_before_it_is_made(ledger: Ledger, tmp_path: Path) -> None:
    line = Line(ledger, tmp_path, budgets={"*": {"usd": 0.25, "period": "ever"}})
    try:
        for number in range(4):
            line.submit(f"j{number}")
            line.advance(f"j{number}")
        line.start()
        line.until(lambda: all(line.call(f"j{n}").settled for n in range(4)))
        assert line.alpha.charges.total() == 2
        for number in range(4):
            line.advance(f"j{number}")
        codes = sorted((job.error or {}).get("code", "") for job in (line.job(f"j{n}") for n in range(4)))
        assert codes == ["", "", "budget_exceeded", "budget_exceeded"]
    finally:
        line.stop()
        line.runtime.close()


@pytest.mark.parametrize(
    ("tenants", "names", "charges"),
    [((), ["", "a", "b", "c"], 2), ((), ["", "own", "a", "own"], 4), (("a", "b"), ["a", "a", "a", "b"], 3)],
)
def test_an_unconfigured_tenant_name_has_no_budget_of_its_own(
    ledger: Ledger, tmp_path: Path, tenants: tuple[str, ...], names: list[str], charges: int
) -> None:
    ever = {"period": "ever"}
    line = Line(
        ledger,
        tmp_path,
        budgets={"*": {"usd": 0.25, **ever}, "own": {"usd": 0.2, **ever}},
        tenants={name: {"write": ["s3://results/"], "output": f"s3://results/{name}/"} for name in tenants},
    )
    try:
        for number, name in enumerate(names):
            line.submit(f"j{number}", **({"tenant": name} if name else {}))
            line.advance(f"j{number}")
        line.start()
        line.until(lambda: all(line.call(f"j{n}").settled for n in range(4)))
        assert line.alpha.charges.total() == charges
        errors = [line.call(f"j{n}").error for n in range(4)]
        refused = [error.message for error in errors if error]
        assert len(refused) == 4 - charges
        assert all(("tenant a;" if tenants else "this worker;") in message for message in refused)
    finally:
        line.stop()
        line.runtime.close()


def test_no_more_tasks_are_in_flight_than_the_concurrency_limit(ledger: Ledger, tmp_path: Path) -> None:
    line = Line(ledger, tmp_path, provider_limits={"alpha": {"concurrency": 2, "burst": 100, "rate_per_minute": 6000}})
    line.alpha.polls = 10_000
    try:
        for number in range(5):
            line.submit(f"j{number}")
            line.advance(f"j{number}")
        line.start()
        line.until(lambda: line.alpha.charges.total() == 2)
        time.sleep(0.3)
        assert line.alpha.charges.total() == 2
    finally:
        line.stop()
        line.runtime.close()


def test_calls_are_submitted_no_faster_than_the_rate_limit(ledger: Ledger, tmp_path: Path) -> None:
    line = Line(ledger, tmp_path, provider_limits={"alpha": {"burst": 2, "rate_per_minute": 1, "concurrency": 9}})
    try:
        for number in range(4):
            line.submit(f"j{number}")
            line.advance(f"j{number}")
        line.start()
        line.until(lambda: line.alpha.charges.total() == 2)
        time.sleep(0.5)
        assert line.alpha.charges.total() == 2
    finally:
        line.stop()
        line.runtime.close()


def test_the_breaker_opens_is_half_open_for_one_call_and_closes(ledger: Ledger, tmp_path: Path) -> None:
    limits = {"breaker_failures": 2, "breaker_seconds": 0.5, "burst": 100, "rate_per_minute": 6000}
    line = Line(ledger, tmp_path, provider_limits={"alpha": limits}, max_failures=9)
    down = threading.Event()
    down.set()
    line.alpha.before = lambda call: raiser(ProviderUnavailable("down"))(call) if down.is_set() else None
    try:
        line.submit("j")
        line.advance("j")
        line.submit("k")
        line.advance("k")
        line.start()
        line.until(lambda: any(a.breaker == "open" for a in accounts.list_accounts(line.runtime.database)))
        # While the breaker is open, the other model is used.
        line.submit("l", data={"models": ["first", "second"]})
        line.advance("l")
        line.until(lambda: line.beta.charges.total() == 1)
        down.clear()
        line.until(lambda: line.alpha.charges.total() == 2)
        line.until(lambda: all(a.breaker == "closed" for a in accounts.list_accounts(line.runtime.database)))
    finally:
        line.stop()
        line.runtime.close()


def test_a_restarted_engine_polls_the_existing_task(line: Line) -> None:
    line.alpha.polls = 30
    line.submit()
    line.advance()
    line.start()
    line.until(lambda: line.call().state is CallState.WORKING)
    line.stop()
    line.start()
    line.until(lambda: line.call().settled)
    assert line.advance() is State.COMPLETED
    assert line.alpha.charges.total() == 1


def test_a_synchronous_answer_settles_the_call_at_once(line: Line) -> None:
    async def submit(call: Call) -> Ready:
        line.alpha.charges[call.key] += 1
        return Ready(value="now", price="0.05", details={"seed": 7, "prompt": "a kite"})

    line.alpha.submit = submit  # type: ignore[method-assign]
    assert line.finished().state is State.COMPLETED
    assert line.call().spent == 50_000
    manifest = json.loads((line.runtime.settings.storage_folder / "results" / "j" / "manifest.json").read_text())
    assert (manifest["seed"], manifest["prompt"]) == (7, "a kite")


def test_calls_that_go_on_together_share_transactions_and_each_is_paid_once(ledger: Ledger, tmp_path: Path) -> None:
    limits = {"alpha": {"rate_per_minute": 6000, "burst": 100, "concurrency": 100}}
    line, count = Line(ledger, tmp_path, provider_limits=limits), 20
    names = [f"j{number}" for number in range(count)]
    for name in names:
        line.submit(name)
        line.advance(name)
    commits: list[str] = []
    for engine in {line.runtime.database._normal, line.runtime.database._full}:
        sa.event.listen(engine, "commit", lambda _: commits.append("commit"))
    line.start()
    line.until(lambda: all(line.call(name).settled for name in names))
    line.stop()
    assert {line.call(name).state for name in names} == {CallState.DONE}
    assert list(line.alpha.charges.values()) == [1] * count
    assert len(commits) < 2 * count  # accepted, polled, ready and done, each in a transaction of its own: 80
    line.close()


def test_a_call_that_another_engine_has_taken_over_does_not_hold_up_those_written_with_it(line: Line) -> None:
    names, database = ["a", "b", "c"], line.runtime.database
    for name in names:
        line.submit(name)
        line.advance(name)
    policy = SubmissionPolicy(limits=lambda name: ProviderLimits(), budgets={}, price=lambda row: 7)
    claims, _ = call_claims.claim_queued(database, policy, owner="e", lease_seconds=60, most=9)
    with database.write() as connection:
        taken = sa.update(calls).where(calls.c.job_id == "b").values(lease_owner="other", epoch=calls.c.epoch + 1)
        connection.execute(taken)

    def accept(claimed: ClaimedCall) -> Callable[[Database], None]:
        task = CallTask(f"task-{claimed.call.job_id}")
        return lambda ledger: call_outcomes.record_accepted(ledger, claimed, task, wait_seconds=0.0, give_up=60.0)

    results = write_together(database, [accept(claimed) for claimed in claims])
    lost = [claimed.call.job_id for claimed, result in zip(claims, results, strict=True) if result is not None]
    assert (lost, [type(result) for result in results if result is not None]) == (["b"], [LeaseLost])
    assert [line.call(name).state for name in names] == [CallState.WORKING, CallState.SUBMITTING, CallState.WORKING]
    assert [line.events(name).count("call_accepted") for name in names] == [1, 0, 1]


def test_transactions_with_many_calls_lock_them_in_one_order(line: Line) -> None:
    names, database = [f"j{number}" for number in range(8)], line.runtime.database
    for name in names:
        line.submit(name)
        line.advance(name)
    policy = SubmissionPolicy(limits=lambda name: ProviderLimits(), budgets={}, price=lambda row: 7)
    claims, _ = call_claims.claim_queued(database, policy, owner="e", lease_seconds=60, most=9)
    ids = [claimed.call.id for claimed in claims]
    locked: list[str] = []

    def record(*event: Any) -> None:
        if event[2].startswith("UPDATE calls"):
            rows = event[3] if event[5] else [event[3]]  # one execution, or many
            locked.extend(call_id for row in rows for call_id in ids if call_id in str(row))

    async def accept_all() -> None:
        recorder = CallRecorder(line.runtime)
        given = {"wait_seconds": 0.0, "give_up": 60.0}
        accepted = (
            recorder.record(call_outcomes.record_accepted, each, CallTask(each.call.id), **given) for each in claims
        )
        await asyncio.gather(*accepted)

    writes: list[Callable[[], None]] = [
        lambda: call_claims.renew(database, claims, lease_seconds=60),
        lambda: asyncio.run(accept_all()),
        lambda: call_outcomes.record_pending(database, [(claimed, 1.0) for claimed in claims]),
    ]
    orders = []
    for write in writes:
        random.shuffle(claims)
        engines = {database._normal, database._full}
        for engine in engines:
            sa.event.listen(engine, "before_cursor_execute", record)
        write()
        for engine in engines:
            sa.event.remove(engine, "before_cursor_execute", record)
        orders.append(locked.copy())
        locked.clear()
    assert orders == [orders[0]] * 3
    assert sorted(orders[0]) == sorted(ids)
