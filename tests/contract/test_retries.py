"""A retry of a job that ended without a result (H2, L12): the same job, a new ending, nothing paid twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.ledger import call_resolution, calls, completion, deletion, leases, queries, retries
from consumer.ledger.queries import deliveries_of, timeline_of
from consumer.ledger.states import CallState, State
from consumer.ledger.tables import jobs
from ops.cancelling import cancel_now
from ops.metrics import render_metrics
from ops.metrics_snapshot import take_snapshot
from providers.base import Call
from schemas.errors import (
    AlreadyCompleted,
    AlreadyPaid,
    DeadlineExceeded,
    JobNotEnded,
    JobNotFound,
    LeaseLost,
    ProviderOutcomeUnknown,
    ProviderRefused,
    RenderFailed,
    ResultsDeleted,
    StorageUnavailable,
    TelecineError,
)
from tests.call_line import Line, raiser
from tests.ledger_views import WRITES, Ledger

CALLBACK = {"url": "http://127.0.0.1:1/", "events": ["started", "completed", "failed"]}


@pytest.fixture
def line_settings() -> dict[str, Any]:
    return {"allowed_private_hosts": ["127.0.0.1"], "retry_seconds": 0.01}


def retry(line: Line, **how: Any) -> retries.Retry:
    return retries.retry(line.runtime.database, "j", by="test", **how)


def bodies(line: Line) -> list[tuple[str, int | None]]:
    """Return status and retry number of every callback."""
    sent = [json.loads(item.body)["data"] for item in deliveries_of(line.runtime.database, "j")]
    return [(data["status"], data.get("retry")) for data in sent]


def run_to_the_end(line: Line) -> State | None:
    """Advance the job, and let the engine settle its call."""
    state = line.advance()
    if line.engine is None:
        line.start()
    while state is State.WAITING:
        line.until(lambda: line.call().settled)
        state = line.advance()
    return state


def failed(line: Line, error: TelecineError) -> None:
    """End the job by an error of its call that costs nothing."""
    line.alpha.before = raiser(error)
    line.submit(callback=CALLBACK)
    assert run_to_the_end(line) is State.FAILED
    line.alpha.before = lambda call: None


@pytest.mark.parametrize("error", [ProviderRefused("no"), StorageUnavailable("gone"), RenderFailed("broken")])
def test_a_call_that_cost_nothing_is_made_under_a_new_key_friction_H2(line: Line, error: TelecineError) -> None:
    failed(line, error)
    first = line.call().id
    assert retry(line).number == 1
    assert line.job().state is State.RECEIVED
    assert line.job().error is None
    assert run_to_the_end(line) is State.COMPLETED
    assert line.alpha.charges == {line.call().id: 1}
    assert line.call().id != first
    assert bodies(line) == [("running", None), ("failed", None), ("running", 1), ("completed", 1)]
    assert len({item.id for item in deliveries_of(line.runtime.database, "j")}) == 4
    (noted,) = [entry.detail for entry in timeline_of(line.runtime.database, "j") if entry.event == "retried"]
    assert (noted["by"], noted["after"], noted["retry"]) == ("test", "failed", 1)


def test_a_job_that_no_worker_claimed_has_its_own_callback_for_each_ending_friction_H2(line: Line) -> None:
    line.submit(callback=CALLBACK)
    assert cancel_now(line.runtime.database, "j").state is State.CANCELLED
    for number in (1, 2):
        assert retry(line).number == number
        assert cancel_now(line.runtime.database, "j").state is State.CANCELLED
    assert bodies(line) == [("cancelled", None), ("cancelled", 1), ("cancelled", 2)]


def test_each_retry_has_its_own_failed_callback_gap_L12(line: Line) -> None:
    failed(line, ProviderRefused("no"))
    for number in (1, 2):
        line.alpha.before = raiser(ProviderRefused("still no"))
        assert retry(line).number == number
        assert run_to_the_end(line) is State.FAILED
        assert line.job().error is not None
        assert "still no" in line.job().error["message"]  # type: ignore[index]
    assert [body for body in bodies(line) if body[0] == "failed"] == [("failed", None), ("failed", 1), ("failed", 2)]
    assert len({item.id for item in deliveries_of(line.runtime.database, "j")}) == 6
    assert len(calls.of_job(line.runtime.database, "j")) == 3
    assert not line.alpha.charges


def test_a_paid_result_is_used_again_friction_H2(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **named: Any) -> Any:
        raise RenderFailed("broken")

    with monkeypatch.context() as worker:
        worker.setattr("consumer.execution.context.store_artifact", broken)
        line.submit(callback=CALLBACK)
        assert run_to_the_end(line) is State.FAILED
    assert line.call().state is CallState.DONE
    for pay_again in (False, True):
        retry(line, pay_again=pay_again)
        if not pay_again:
            completion.request_cancel(line.runtime.database, "j", by="test")
            assert line.advance() is State.CANCELLED
    assert run_to_the_end(line) is State.COMPLETED
    assert line.alpha.charges.total() == 1


def test_an_unknown_outcome_blocks_a_retry_until_it_is_settled_friction_H2(line: Line) -> None:
    line.alpha.can_find = False
    line.alpha.after = raiser(ProviderOutcomeUnknown("connection reset"))
    line.submit()
    assert line.advance() is State.WAITING
    line.start()
    line.until(lambda: line.call().state is CallState.UNKNOWN)
    end_by_hand(line)
    line.until(lambda: line.call().due_at is None)
    with pytest.raises(ProviderOutcomeUnknown, match="telecine resolve j"):
        retry(line)
    call_resolution.write_off(line.runtime.database, line.call(), by="test")
    with pytest.raises(AlreadyPaid, match="--pay-again"):
        retry(line)
    assert line.job().state is State.CANCELLED
    line.alpha.after = lambda call: None
    retry(line, pay_again=True)
    assert run_to_the_end(line) is State.COMPLETED
    assert line.alpha.charges.total() == 2  # the operator paid again, knowingly


def test_a_call_that_is_still_being_cancelled_blocks_a_retry_friction_H2(line: Line) -> None:
    line.alpha.polls = 10_000
    line.submit()
    assert line.advance() is State.WAITING
    line.start()
    line.until(lambda: line.call().state is CallState.WORKING)
    line.stop()
    end_by_hand(line)
    with pytest.raises(JobNotEnded, match="still being cancelled"):
        retry(line)
    line.start()
    line.until(lambda: line.call().settled)
    line.alpha.polls = 1
    retry(line)
    assert run_to_the_end(line) is State.COMPLETED


def end_by_hand(line: Line) -> None:
    completion.request_cancel(line.runtime.database, "j", by="test")
    assert line.advance() in (State.CANCELLED, None)
    if not line.job().terminal:
        error = RenderFailed("ended")
        assert completion.finish_unleased(line.runtime.database, "j", State.CANCELLED, error, None)


def test_completed_open_and_unknown_jobs_are_refused_friction_H2(ledger: Ledger) -> None:
    ledger.ended(State.COMPLETED, outcome={})
    before = ledger.everything()
    with pytest.raises(AlreadyCompleted):
        retries.retry(ledger.a, "j", by="test")
    with pytest.raises(JobNotFound):
        retries.retry(ledger.a, "k", by="test")
    assert ledger.everything() == before
    ledger.admit({"id": "l"})
    for _ in range(2):
        with pytest.raises(JobNotEnded, match="l is r"):
            retries.retry(ledger.a, "l", by="test")
        leases.claim(ledger.a, "l", owner="one", seconds=60)


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED, State.EXPIRED])
def test_a_retry_starts_all_counters_again_and_fences_old_leases_friction_H2(ledger: Ledger, state: State) -> None:
    ledger.admit({"id": "j", "deadline": 60})
    lease = ledger.claimed()
    with ledger.a.write() as connection:
        connection.execute(
            sa.update(jobs).values(failures=6, crashes=2, progress=70, received_at=1.0, deadline_at=61.0)
        )
    completion.finish(ledger.a, lease, state, error=RenderFailed())
    now = ledger.a.now()
    assert retries.retry(ledger.a, "j", by="test").number == 1
    job = ledger.job()
    assert (job.state, job.failures, job.crashes, job.progress) == (State.RECEIVED, 0, 0, 0)
    assert (job.error, job.finished_at, job.started_at) == (None, None, None)
    assert job.received_at >= now - 1
    assert job.deadline_at == pytest.approx(job.received_at + 60)
    rows = ledger.everything()
    for name, write in WRITES.items():
        with pytest.raises(LeaseLost):
            write(ledger.a, lease)
        assert ledger.everything() == rows, name
    assert ledger.claimed(owner="two").epoch > lease.epoch


def test_a_deadline_that_has_passed_refuses_a_retry_friction_H2(ledger: Ledger) -> None:
    ledger.admit({"id": "j", "deadline": "2026-01-01T00:00:00Z"})
    completion.finish(ledger.a, ledger.claimed(), State.EXPIRED, error=DeadlineExceeded())
    with pytest.raises(DeadlineExceeded, match="new request"):
        retries.retry(ledger.a, "j", by="test")
    assert ledger.job().state is State.EXPIRED


def test_a_job_whose_files_are_gone_is_refused_friction_H2(ledger: Ledger) -> None:
    ledger.ended(State.FAILED, error=RenderFailed())
    assert deletion.begin_deletion(ledger.a, ledger.job())
    with pytest.raises(ResultsDeleted):
        retries.retry(ledger.a, "j", by="test")


def test_the_files_of_a_job_that_was_retried_meanwhile_are_kept_friction_H2(ledger: Ledger) -> None:
    ledger.ended(State.FAILED, error=RenderFailed())
    (found,) = deletion.ended_before(ledger.a, age_seconds=0, limit=9, with_results=True)
    retries.retry(ledger.b, "j", by="test")
    assert not deletion.begin_deletion(ledger.a, found)
    completion.finish(ledger.b, ledger.claimed(), State.FAILED, error=RenderFailed())
    assert not deletion.begin_deletion(ledger.a, found)
    assert ledger.job().results_deleted_at is None


def test_files_that_could_not_be_deleted_are_found_again(ledger: Ledger) -> None:
    ledger.ended(State.FAILED, error=RenderFailed())
    for _ in range(2):
        (found,) = deletion.ended_before(ledger.a, age_seconds=0, limit=9, with_results=True)
        assert deletion.begin_deletion(ledger.a, found)
    for _ in range(2):
        deletion.record_results_deleted(ledger.b, "j", files=1)
    assert not deletion.ended_before(ledger.a, age_seconds=0, limit=9, with_results=True)
    assert [entry.event for entry in timeline_of(ledger.a, "j")].count("results_deleted") == 1


@pytest.mark.parametrize("claimed", [False, True])
def test_a_job_that_was_cancelled_before_its_start_keeps_its_start_friction_H2(ledger: Ledger, claimed: bool) -> None:
    ledger.admit({"id": "j", **({} if claimed else {"not_before": 3600})})
    if claimed:
        leases.park(ledger.a, ledger.claimed(), seconds=3600, event="retry_later", failures=1)
    start = ledger.job().not_before
    assert completion.finish_unleased(ledger.a, "j", State.CANCELLED, RenderFailed(), None)
    retries.retry(ledger.a, "j", by="test")
    assert (ledger.job().not_before == start) is not claimed


def test_a_retry_that_breaks_half_way_leaves_nothing_friction_H2(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.ended(State.FAILED, error=RenderFailed())
    before = ledger.everything()

    def broken(*arguments: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as process:
        process.setattr(retries, "note", broken)
        with pytest.raises(KeyboardInterrupt):
            retries.retry(ledger.a, "j", by="test")
    assert ledger.everything() == before


def test_a_retried_job_is_counted_and_deleted_like_others_friction_H2(line: Line) -> None:
    failed(line, ProviderRefused("no"))
    retry(line)
    assert not deletion.delete_job(line.runtime.database, "j")
    assert run_to_the_end(line) is State.COMPLETED
    assert deletion.delete_job(line.runtime.database, "j")
    metrics = render_metrics(take_snapshot(line.runtime.database, line.runtime.settings), {}).decode()
    for state, code in (("failed", "provider_refused"), ("completed", "")):
        assert f'telecine_jobs_ended_total{{code="{code}",state="{state}",tenant="",type="ask"}} 1.0' in metrics
    assert 'telecine_jobs_received_total{type="ask"} 2.0' in metrics
    assert queries.timeline_of(line.runtime.database, "j") == []


def test_a_charged_failure_of_one_model_is_not_paid_again_friction_H2(line: Line) -> None:
    def charged(call: Call) -> None:
        raise ProviderOutcomeUnknown("connection reset")

    line.alpha.can_find = False
    line.alpha.after = charged
    line.submit()
    line.advance()
    line.start()
    line.until(lambda: line.call().state is CallState.UNKNOWN)
    call_resolution.write_off(line.runtime.database, line.call(), by="test")
    assert line.advance() is State.FAILED
    before = line.alpha.charges.total()
    with pytest.raises(AlreadyPaid):
        retry(line)
    assert line.alpha.charges.total() == before
