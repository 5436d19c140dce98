"""Trouble around a paid call: it is not paid twice, its result is not lost, and it is settled."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image

from consumer.calls import actions as actions_module, claiming, fetching, retry_policy
from consumer.ledger import (
    accounts,
    call_claims,
    call_outcomes,
    call_queries,
    call_resolution,
    calls,
    deletion,
    leases,
    tables as ledger_tables,
)
from consumer.ledger.call_claims import SubmissionPolicy
from consumer.ledger.call_records import CallResult, CallRow, CallTask
from consumer.ledger.completion import finish_unleased, request_cancel
from consumer.ledger.queries import timeline_of
from consumer.ledger.states import CallState, State
from consumer.storage import scratch
from providers.base import Call, Pending, Ready, TaskRef
from schemas.errors import (
    JobCancelled,
    ProviderNotConfigured,
    ProviderOutcomeUnknown,
    ProviderUnauthorized,
    ProviderUnavailable,
    RateLimited,
    StepSettled,
)
from tests.call_line import Line, raiser
from tests.ledger_views import Ledger

URL = "http://127.0.0.1:9/film.mp4?Signature=Ffd3x9SignatureOfTheResult"


def end_job(line: Line, job_id: str = "j") -> None:
    """Cancel the job while it is parked."""
    request_cancel(line.runtime.database, job_id, by="test")
    assert finish_unleased(line.runtime.database, job_id, State.CANCELLED, JobCancelled(), None)


def submit_and_park(line: Line, job_id: str = "j", **envelope: Any) -> None:
    """Submit the job and advance it until it is parked."""
    line.submit(job_id, **envelope)
    assert line.advance(job_id) is State.WAITING


def test_a_call_that_was_not_accepted_is_not_queued_again_once_its_job_has_ended(line: Line) -> None:
    def before(call: Call) -> None:
        end_job(line)
        raise ProviderUnavailable("no route")

    line.alpha.before = before
    submit_and_park(line)
    line.start()
    line.until(lambda: line.call().settled)
    assert (line.call().state, line.call().due_at, line.call().reserved) == (CallState.CANCELLED, None, 0)
    assert line.alpha.charges.total() == 0


def test_an_unknown_outcome_of_a_cancelled_job_is_looked_up_and_stopped_at_the_provider(line: Line) -> None:
    line.alpha.after = raiser(ProviderOutcomeUnknown("connection reset"))
    submit_and_park(line)
    line.start()
    line.until(lambda: line.call().state is CallState.UNKNOWN)
    end_job(line)
    line.until(lambda: line.call().settled)
    assert (line.call().state, line.alpha.cancelled, line.call().reserved) == (CallState.CANCELLED, ["task-1"], 0)


def test_an_unknown_outcome_of_a_cancelled_job_that_never_arrived_is_not_sent(line: Line) -> None:
    line.alpha.before = raiser(ProviderOutcomeUnknown("connection reset"))
    submit_and_park(line)
    line.start()
    line.until(lambda: line.call().state is CallState.UNKNOWN)
    end_job(line)
    line.until(lambda: line.call().settled)
    assert (line.call().state, line.alpha.charges.total()) == (CallState.CANCELLED, 0)


def test_a_call_of_an_ended_job_cannot_be_resubmitted(line: Line) -> None:
    line.alpha.can_find = False
    line.alpha.after = raiser(ProviderOutcomeUnknown("connection reset"))
    submit_and_park(line)
    line.start()
    line.until(lambda: line.call().state is CallState.UNKNOWN)
    end_job(line)
    line.until(lambda: line.call().due_at is None and line.call().lease_owner is None)
    with pytest.raises(StepSettled, match="--fail"):
        call_resolution.resubmit(line.runtime.database, line.call(), by="test")
    call_resolution.write_off(line.runtime.database, line.call(), by="test")
    assert (line.call().spent, line.call().reserved) == (100_000, 0)


def test_a_task_is_polled_again_after_the_operator_has_corrected_the_key(line: Line) -> None:
    errors = [ProviderUnauthorized("Replace the key"), ProviderNotConfigured("no key")]
    poll = line.alpha.poll

    async def asked(call: Call, task: TaskRef) -> Any:
        if errors:
            raise errors.pop()
        return await poll(call, task)

    line.alpha.poll = asked  # type: ignore[method-assign]
    assert line.finished().state is State.COMPLETED
    assert (line.alpha.charges.total(), line.call().spent) == (1, 100_000)


@pytest.mark.parametrize("price", ["free", "NaN", "-1", "1e99"])
def test_for_an_invalid_price_the_reserved_price_counts(line: Line, price: str) -> None:
    line.alpha.result = lambda call: Ready(value="done", price=price, details={"odd": {1, 2}})
    assert line.finished().state is State.COMPLETED
    assert (line.call().spent, line.call().reserved) == (100_000, 0)


def test_a_task_id_with_a_lone_surrogate_does_not_lose_the_call(line: Line) -> None:
    submit = line.alpha.submit

    async def odd(call: Call) -> TaskRef:
        await submit(call)
        return TaskRef("half-\ud800")

    async def poll(call: Call, task: TaskRef) -> Ready:
        return Ready(value=task.id.encode("utf-8", "replace").decode())

    line.alpha.submit, line.alpha.poll = odd, poll  # type: ignore[method-assign]
    assert line.finished().state is State.COMPLETED
    assert line.alpha.charges.total() == 1


def test_a_response_after_the_lease_was_lost_counts_if_no_one_else_has_acted(line: Line) -> None:
    def after(call: Call) -> None:
        call_outcomes.record_lost(line.runtime.database, line.call(), look_up=True)

    line.alpha.after = after
    assert line.finished().state is State.COMPLETED
    assert line.alpha.charges.total() == 1
    assert line.events().index("outcome_unknown") < line.events().index("call_accepted")


def test_a_response_after_an_operators_decision_changes_nothing(line: Line) -> None:
    def after(call: Call) -> None:
        call_outcomes.record_lost(line.runtime.database, line.call(), look_up=False)
        call_resolution.write_off(line.runtime.database, line.call(), by="test")

    line.alpha.after = after
    submit_and_park(line)
    line.start()
    line.until(lambda: line.call().settled)
    line.stop()
    assert (line.call().state, line.call().spent) == (CallState.FAILED, 100_000)


def test_an_unavailable_ledger_does_not_make_a_refused_call_an_unknown_outcome(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = [sa.exc.OperationalError("UPDATE", {}, Exception("away"))]
    failed = accounts.record_failure

    def away(*arguments: Any) -> None:
        if gone:
            raise gone.pop()
        failed(*arguments)

    monkeypatch.setattr(accounts, "record_failure", away)
    errors = [ProviderUnavailable("no route")]
    line.alpha.before = lambda call: raiser(errors.pop())(call) if errors else None
    assert line.finished().state is State.COMPLETED
    assert "outcome_unknown" not in line.events()


def test_claimed_calls_are_not_dropped_if_queued_ones_cannot_be_claimed(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.alpha.polls = 3
    submit_and_park(line)
    line.start()
    line.until(lambda: line.call().state is CallState.WORKING)
    monkeypatch.setattr(call_claims, "claim_queued", raiser_of(RuntimeError("locked")))
    line.until(lambda: line.call().settled)


def test_an_unexpected_error_while_a_result_is_fetched_is_retried(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[Exception] = [OSError("no space left on device")]
    fetch = fetching.fetch_result

    def fetched(*arguments: Any) -> Any:
        if errors:
            raise errors.pop()
        return fetch(*arguments)

    monkeypatch.setattr(actions_module, "fetch_result", fetched)
    assert line.finished().state is State.COMPLETED
    assert line.events().count("call_put_off") == 1


def test_an_overdue_task_is_not_given_up_after_one_failed_poll(line: Line) -> None:
    line.alpha.polls = 10_000
    submit_and_park(line, data={"models": ["first", "second"]})
    line.start()
    line.until(lambda: line.call().task is not None)
    line.stop()
    with line.runtime.database.write() as connection:
        connection.execute(sa.update(ledger_tables.calls).values(give_up_at=1.0))
    errors = [ProviderUnavailable("the network is not up yet")]

    async def asked(call: Call, task: TaskRef) -> Ready:
        if errors:
            raise errors.pop()
        return Ready(value="done")

    line.alpha.poll = asked  # type: ignore[method-assign]
    line.start()
    line.until(lambda: line.call().settled)
    assert (line.call().state, line.alpha.charges.total(), line.beta.charges.total()) == (CallState.DONE, 1, 0)


def test_rate_limited_calls_wait_for_a_provider_that_works_one_at_a_time(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_policy, "backoff", lambda failures: 0.01)
    asked = 0

    def before(call: Call) -> None:
        nonlocal asked
        asked += 1
        if asked % 6:
            raise RateLimited("one at a time", retry_after_seconds=0.01)

    line.alpha.before = before
    for number in range(4):
        submit_and_park(line, f"j{number}", data={"models": ["first", "second"]})
    line.start()
    line.until(lambda: all(line.call(f"j{number}").settled for number in range(4)))
    assert (line.alpha.charges.total(), line.beta.charges.total()) == (4, 0)


def test_a_call_being_sent_is_not_lost_after_a_suspend_of_the_machine(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "SUBMIT_LEASE_SECONDS", -1.0)  # expired at the claim
    monkeypatch.setattr(call_outcomes, "LOOK_UP_SECONDS", 0.0)
    submit = line.alpha.submit

    async def slow(call: Call) -> Any:
        await asyncio.sleep(2.5)
        return await submit(call)

    line.alpha.submit = slow  # type: ignore[method-assign]
    assert line.finished().state is State.COMPLETED
    assert (line.alpha.charges.total(), "outcome_unknown" in line.events()) == (1, False)


@pytest.mark.parametrize("place", ["folder", "file"])
def test_an_input_that_does_not_fit_on_the_disk_is_not_an_unknown_outcome(
    place: str, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = line.runtime.settings.storage_folder / "inbox"
    inbox.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(inbox / "dot.png")
    errors = [OSError(errno.ENOSPC, "No space left on device")]
    where, name = (scratch, "job_folder") if place == "folder" else (line.runtime.storage, "fetch")
    write = getattr(where, name)

    def full(*arguments: Any) -> Any:
        if errors:
            raise errors.pop()
        return write(*arguments)

    def before(call: Call) -> None:
        monkeypatch.setattr(where, name, full)
        assert call.inputs["image"].load().exists()

    line.alpha.before = before
    assert line.finished(data={"image": "s3://inbox/dot.png"}).state is State.COMPLETED
    assert (line.alpha.charges.total(), "outcome_unknown" in line.events()) == (1, False)
    (entry,) = [entry for entry in timeline_of(line.runtime.database, "j") if entry.event == "call_put_off"]
    assert entry.detail["code"] == "input_unavailable"


def test_an_unexpected_error_in_an_action_releases_the_claim_at_once(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[Exception] = [ZeroDivisionError()]
    ready = call_outcomes.record_ready

    def broken(*arguments: Any, **named: Any) -> Any:
        if errors:
            raise errors.pop()
        return ready(*arguments, **named)

    monkeypatch.setattr(call_outcomes, "record_ready", broken)
    assert line.finished().state is State.COMPLETED
    assert line.alpha.charges.total() == 1


def test_a_failed_call_does_not_keep_the_url_of_its_result(line: Line) -> None:
    line.alpha.result = lambda call: Ready(url=URL)
    job = line.finished(data={"film": True})
    assert (job.state, job.error["code"] if job.error else None) == (State.FAILED, "provider_result_invalid")
    assert (line.call().provider_result, line.call().spent) == (None, 100_000)
    with line.runtime.database.read() as connection:
        for table in ledger_tables.metadata.sorted_tables:
            rows = connection.execute(sa.select(table)).all()
            assert "Ffd3x9" not in repr(rows), table.name


def test_inputs_loaded_as_bytes_exist_only_during_the_submission(line: Line) -> None:
    scratch, seen = line.runtime.settings.scratch_folder, []
    inbox = line.runtime.settings.storage_folder / "inbox"
    inbox.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(inbox / "dot.png")

    def before(call: Call) -> None:
        path = call.inputs["image"].load()
        seen.append((path.read_bytes(), path))

    line.alpha.before = before
    assert line.finished(data={"image": "s3://inbox/dot.png"}).state is State.COMPLETED
    assert seen[0][0] == (inbox / "dot.png").read_bytes()
    assert not seen[0][1].exists()
    assert not list(scratch.iterdir())


def test_a_missing_key_does_not_close_the_breaker(line: Line) -> None:
    database, limits = line.runtime.database, line.runtime.settings.limits_of("alpha")
    with database.write() as connection:
        accounts.allowance(database, connection, "alpha", limits, database.now())
        accounts.record_failure(connection, "alpha", limits, "down")
    submit_and_park(line)
    line.alpha.submit = _not_configured  # type: ignore[method-assign]
    (account,) = accounts.list_accounts(database)
    assert account.failures == 1
    line.start(missing="alpha")
    line.until(lambda: line.call().settled)
    (account,) = accounts.list_accounts(database)
    assert (account.failures, account.last_error) == (1, "down")


def test_a_cancelled_task_is_not_left_until_its_next_poll(line: Line) -> None:
    async def poll(call: Call, task: TaskRef) -> Pending:
        if line.job().state is State.WAITING:
            end_job(line)
        return Pending(retry_after_seconds=3600)

    line.alpha.poll = poll  # type: ignore[method-assign]
    submit_and_park(line)
    line.start()
    line.until(lambda: line.call().settled)
    assert line.alpha.cancelled == ["task-1"]


def test_the_money_of_deleted_jobs_still_counts_for_the_budget_and_the_same_request_is_a_new_call(
    ledger: Ledger, tmp_path: Path
) -> None:
    line = Line(ledger, tmp_path, budgets={"*": {"usd": 0.15, "period": "ever"}})
    try:
        assert line.finished().state is State.COMPLETED
        assert deletion.delete_job(line.runtime.database, "j")
        assert calls.of_job(line.runtime.database, "j") == []
        assert call_queries.spent_since(line.runtime.database, 0.0) == {("alpha", ""): 100_000}
        submit_and_park(line)
        line.until(lambda: line.call().settled)
        assert line.advance() is State.FAILED
        assert (line.job().error or {})["code"] == "budget_exceeded"
        assert line.alpha.charges.total() == 1
    finally:
        line.stop()
        line.runtime.close()


def test_a_job_with_an_unsettled_call_is_not_deleted(line: Line) -> None:
    line.alpha.can_find = False
    line.alpha.after = raiser(ProviderOutcomeUnknown("connection reset"))
    submit_and_park(line)
    line.start()
    line.until(lambda: line.call().state is CallState.UNKNOWN)
    end_job(line)
    database = line.runtime.database
    assert not deletion.delete_job(database, "j")
    assert deletion.ended_before(database, age_seconds=0, limit=9) == []
    line.until(lambda: line.call().due_at is None and line.call().lease_owner is None)
    call_resolution.write_off(database, line.call(), by="test")
    assert [job.id for job in deletion.ended_before(database, age_seconds=0, limit=9)] == ["j"]


def test_calls_without_another_candidate_do_not_block_those_that_can_be_diverted(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_claims, "_DIVERTED", 2)
    database, limits = line.runtime.database, line.runtime.settings.limits_of("alpha")
    for number in range(4):
        submit_and_park(line, f"j{number}")
    submit_and_park(line, "other", data={"models": ["first", "second"]})
    with database.write() as connection:
        accounts.allowance(database, connection, "alpha", limits, database.now())
        for _ in range(limits.breaker_failures):
            accounts.record_failure(connection, "alpha", limits, "down")
    line.start()
    line.until(lambda: line.beta.charges.total() == 1)
    assert line.alpha.charges.total() == 0
    assert all(line.call(f"j{number}").state is CallState.QUEUED for number in range(4))


def test_a_lease_is_renewed_only_by_its_owner(line: Line) -> None:
    submit_and_park(line)
    (first,), _ = _claim(line, seconds=5)
    call_claims.renew(line.runtime.database, [first], lease_seconds=500)
    renewed = line.call().lease_until
    assert renewed is not None
    assert renewed > line.runtime.database.now() + 400
    call_outcomes.record_accepted(line.runtime.database, first, CallTask("task-1"), wait_seconds=0, give_up=60)
    (second,) = call_claims.claim_due(line.runtime.database, owner="other", lease_seconds=5, most=9)
    call_claims.renew(line.runtime.database, [first], lease_seconds=500)
    held = line.call().lease_until
    assert held is not None
    assert held < line.runtime.database.now() + 10
    assert second.epoch == first.epoch + 1


def test_a_claimed_call_is_submitting_like_its_row(line: Line) -> None:
    submit_and_park(line)
    (claimed,), _ = _claim(line, seconds=60)
    assert claimed.call.state is line.call().state is CallState.SUBMITTING
    (unconfirmed,) = call_claims.claimed_but_unconfirmed(line.runtime.database, "test")
    assert unconfirmed.call.state is CallState.SUBMITTING
    call_outcomes.reschedule(line.runtime.database, unconfirmed, 0.0)
    assert (line.call().state, line.call().reserved, line.call().submitted_at) == (CallState.QUEUED, 0, None)


def test_a_job_whose_call_has_ended_is_not_parked_again(line: Line) -> None:
    submit_and_park(line)
    (claimed,), _ = _claim(line, seconds=60)
    database = line.runtime.database
    with database.write() as connection:  # let a worker claim the parked job
        connection.execute(sa.update(ledger_tables.jobs).values(not_before=0.0))
    claim = leases.claim(database, "j", owner="w", seconds=60)
    assert claim is not None
    assert (
        call_outcomes.record_done(database, claimed, CallResult(model="m", provider="p"), spent=1) is None
    )  # the job runs: there is none to wake
    found = calls.park_unless_settled(database, claim.lease, "think")
    assert isinstance(found, CallRow)
    assert found.settled
    assert line.job().state is State.RUNNING
    assert line.job().lease_owner == "w"


def _claim(line: Line, *, seconds: float) -> tuple[list[call_claims.ClaimedCall], Any]:
    settings = line.runtime.settings
    policies = SubmissionPolicy(limits=settings.limits_of, budgets={}, price=lambda row: 7)
    return call_claims.claim_queued(line.runtime.database, policies, owner="test", lease_seconds=seconds, most=9)


def raiser_of(error: Exception) -> Any:
    """Return a function that raises ``error``."""

    def act(*arguments: Any, **named: Any) -> None:
        raise error

    return act


async def _not_configured(call: Call) -> TaskRef:
    raise AssertionError("never asked")
