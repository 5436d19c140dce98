"""One suite for every ledger: SQLite, a SQLite file that two connections share, and PostgreSQL.

Here: admission, leases, steps and completion. The sweep, the outbox and the dead letters are in
``test_ledger_sweep_and_outbox``.
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.ledger import completion, due, leases, queries, steps
from consumer.ledger.admission import AdmissionOutcome, admit, build_submission
from consumer.ledger.records import Lease
from consumer.ledger.states import TERMINAL, TRANSITIONS, State
from consumer.ledger.tables import jobs
from schemas.envelope import Request
from schemas.errors import JobCancelled, LeaseLost, RenderFailed
from schemas.parse import parse_request
from tests.ledger_views import DATA, WRITES, Ledger, delivery, renewed


def test_a_new_request_becomes_a_job_once_and_every_copy_is_counted(ledger: Ledger) -> None:
    answers = ledger.admit({"id": "j"}, {"id": "j"}, {"id": "k", "priority": "high"}, {"id": "j"})
    assert [a.outcome.value for a in answers] == ["admitted", "duplicate", "admitted", "duplicate"]
    assert [a.outcome for a in ledger.admit({"id": "j"})] == [AdmissionOutcome.DUPLICATE]
    job = ledger.job()
    assert (job.state, job.duplicates, job.epoch, job.progress) == (State.RECEIVED, 3, 0, 0)
    assert job.parsed().id == "j"
    assert ledger.job("k").priority == "high"
    assert ledger.events() == ["received", "duplicate", "duplicate", "duplicate"]
    assert ledger.admit() == []


def test_the_same_id_with_other_content_is_refused_naming_both_fingerprints(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    answers = ledger.admit({"id": "j", "priority": "low"}, {"id": "k"}, {"id": "k", "plan_only": True})
    assert [a.outcome for a in answers] == [
        AdmissionOutcome.CONFLICT,
        AdmissionOutcome.ADMITTED,
        AdmissionOutcome.CONFLICT,
    ]
    assert answers[0].conflict is not None
    entry = queries.timeline_of(ledger.b, "j")[-1]
    assert (entry.event, ledger.job().priority, ledger.job().duplicates) == ("conflict", "normal", 0)
    assert ledger.job().fingerprint[:16] in answers[0].conflict.message
    assert entry.detail["fingerprint"][:16] in answers[0].conflict.message
    assert answers[0].conflict.field == "id"


def test_a_duplicate_of_an_ended_job_does_not_reopen_it(ledger: Ledger) -> None:
    ledger.ended(State.COMPLETED)
    assert [a.outcome for a in ledger.admit({"id": "j"})] == [AdmissionOutcome.DUPLICATE]
    assert ledger.job().state is State.COMPLETED
    assert leases.claim(ledger.b, "j", owner="one", seconds=60) is None


def test_a_batch_that_is_not_committed_leaves_nothing(ledger: Ledger) -> None:
    request = parse_request(json.dumps({"id": "j", "type": "reel", "data": DATA}).encode())
    assert isinstance(request, Request)
    with pytest.raises(RuntimeError), ledger.a.write() as connection:
        admit(ledger.a, connection, [build_submission(request, role="render", door="test")])
        raise RuntimeError
    assert not any(ledger.everything().values())


def test_only_one_of_many_claims_wins(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    together = threading.Barrier(16)

    def claim(number: int) -> leases.Claim | None:
        together.wait(10)
        return leases.claim((ledger.a, ledger.b)[number % 2], "j", owner=str(number), seconds=60)

    with ThreadPoolExecutor(16) as pool:
        won = [found for found in pool.map(claim, range(16)) if found is not None]
    assert len(won) == 1
    assert (ledger.job().lease_owner, ledger.job().epoch) == (won[0].lease.owner, 1)


def test_a_job_passes_through_its_states_and_the_timeline_records_them(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    first = ledger.claimed()
    assert (ledger.job().state, ledger.job().crashes) == (State.RUNNING, 0)
    assert leases.claim(ledger.b, "j", owner="two", seconds=60) is None
    leases.park(ledger.a, first, seconds=-1, event="retry_later", failures=2, code="input_unavailable")
    job = ledger.job()
    assert (job.state, job.failures, job.lease_owner, job.lease_until) == (State.WAITING, 2, None, None)
    second = ledger.claimed(owner="two")
    assert (second.epoch, ledger.job().crashes) == (2, 0)
    completion.begin_storing(ledger.a, second)
    assert ledger.job().state is State.STORING
    completion.finish(ledger.a, second, State.COMPLETED, outcome={"outputs": []}, delivery=delivery())
    job = ledger.job()
    assert (job.state, job.progress, job.outcome, job.error) == (State.COMPLETED, 100, {"outputs": []}, None)
    assert (job.wake_at, job.lease_owner, job.lease_until) == (None, None, None)
    assert job.received_at <= (job.started_at or 0) <= (job.finished_at or 0)
    assert ledger.events() == [
        "received",
        "claimed",
        "retry_later",
        "claimed",
        "storing",
        "completed",
        "callback_queued",
    ]


def test_a_parked_job_cannot_be_claimed_before_its_time(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    leases.park(ledger.a, ledger.claimed(), seconds=60, event="retry_later", failures=1)
    assert leases.claim(ledger.b, "j", owner="two", seconds=60) is None


def test_progress_never_decreases_and_a_heartbeat_keeps_the_lease(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    lease = ledger.claimed(seconds=-1)
    renewed(ledger.a, lease, seconds=60, progress=40)
    renewed(ledger.a, lease, seconds=60, progress=30)
    assert ledger.job().progress == 40
    assert leases.claim(ledger.b, "j", owner="two", seconds=60) is None


def test_an_expired_lease_is_taken_over_and_counts_as_a_crash(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    for crashes in range(4):
        assert ledger.claimed(seconds=-1).epoch == crashes + 1
        assert ledger.job().crashes == crashes
    assert ledger.events() == ["received", "claimed", *["worker_lost", "claimed"] * 3]


@pytest.mark.parametrize("write", WRITES)
def test_a_worker_that_lost_its_lease_cannot_write(ledger: Ledger, write: str) -> None:
    ledger.admit({"id": "j"})
    stale = ledger.claimed(seconds=-1)
    steps.begin(ledger.a, stale, "render")
    ledger.claimed(owner="two")
    before = ledger.everything()
    for lease in (stale, Lease("j", 2, "one"), Lease("j", 3, "two"), Lease("other", 2, "two")):
        with pytest.raises(LeaseLost):
            WRITES[write](ledger.b, lease)
    assert ledger.everything() == before


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_no_transition_leaves_a_terminal_state(ledger: Ledger, state: State) -> None:
    assert TRANSITIONS[state] == frozenset()
    lease = ledger.ended(state, error=RenderFailed())
    before = ledger.everything()
    for write in WRITES.values():
        with pytest.raises(LeaseLost):
            write(ledger.b, lease)
    assert leases.claim(ledger.b, "j", owner="two", seconds=60) is None
    assert not completion.finish_unleased(ledger.b, "j", State.CANCELLED, JobCancelled(), delivery())
    assert completion.request_cancel(ledger.b, "j", by="test").state is state
    assert leases.expire_dead_owners(ledger.b) == []
    due.reset_wakeups(ledger.b)
    assert not due.take_due(ledger.b, limit=9, again_seconds=0)
    assert not due.cancelled_or_expired(ledger.b, limit=9)
    assert ledger.everything() == before


def test_a_job_completes_only_from_storing(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    lease = ledger.claimed()
    with pytest.raises(LeaseLost):
        completion.finish(ledger.a, lease, State.COMPLETED)
    completion.finish(ledger.a, lease, State.FAILED, error=RenderFailed("no", step="render"))
    assert ledger.job().error == {"code": "render_failed", "message": "no", "retryable": False, "step": "render"}


def test_the_next_worker_reuses_a_finished_step_and_repeats_an_unfinished_one(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    first = ledger.claimed(seconds=-1)
    assert steps.begin(ledger.a, first, "align").state == "running"
    steps.record(ledger.a, first, "align", [{"name": "words.json"}])
    steps.begin(ledger.a, first, "render")
    second = ledger.claimed(owner="two")
    found = steps.begin(ledger.b, second, "align")
    assert (found.state, found.result) == ("done", [{"name": "words.json"}])
    assert steps.begin(ledger.b, second, "render").state == "running"
    assert [step.state for step in steps.of_job(ledger.b, "j")] == ["done", "running"]


def test_the_lease_of_a_killed_process_is_released_at_once_and_that_of_a_living_one_is_not(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    code = """
import time
from consumer.ledger import leases, owner
print(leases.claim(database, "j", owner=owner.this_process(), seconds=600).lease.epoch, flush=True)
time.sleep(60)
"""
    child = ledger.run(code)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "1\n"
        assert leases.expire_dead_owners(ledger.b) == []
        child.kill()
        child.wait(10)
    assert leases.expire_dead_owners(ledger.b) == ["j"]
    assert [wake.job_id for wake in due.take_due(ledger.b, limit=9, again_seconds=5)] == ["j"]
    assert ledger.claimed(owner="two").epoch == 2
    assert ledger.job().crashes == 1


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"states": ["failed"]},
        {"states": ["received", "waiting"]},
        {"states": ["waiting", "running"], "at_work": True},
        {"type_": "reel"},
        {"type_": "reel", "states": ["failed"]},
        {"tenant": "acme"},
        {"code": "render_failed"},
        {"code": "render_failed", "type_": "reel", "since": 5.0},
        {"since": 5.0},
    ],
    ids=str,
)
def test_every_list_of_jobs_is_read_from_an_index(chosen: dict[str, Any], ledger: Ledger) -> None:
    """With many jobs, a list that reads them all takes seconds."""
    with ledger.a.write() as connection:
        rows = [many_jobs_row(number) for number in range(2_000)]
        connection.execute(sa.insert(jobs), rows)
        if ledger.a.dialect == "postgresql":
            connection.execute(sa.text("ANALYZE jobs"))
    plans: list[str] = []
    explain = "EXPLAIN QUERY PLAN " if ledger.a.dialect == "sqlite" else "EXPLAIN "

    def record(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "jobs.received_at DESC" in statement and not statement.startswith("EXPLAIN"):
            plans.extend(str(row) for row in connection.exec_driver_sql(explain + statement, parameters))

    sa.event.listen(ledger.a._normal, "before_cursor_execute", record)
    try:
        found = queries.list_jobs(ledger.a, limit=3, **chosen)
    finally:
        sa.event.remove(ledger.a._normal, "before_cursor_execute", record)
    plan = "\n".join(plans)
    assert "ix_jobs_" in plan
    assert "Seq Scan on jobs" not in plan
    assert not [line for line in plans if "SCAN jobs" in line and "INDEX" not in line]
    expected = sorted((row for row in rows if is_chosen(row, chosen)), key=lambda row: (-row["received_at"], row["id"]))
    assert [job.id for job in found] == [row["id"] for row in expected[:3]]


def many_jobs_row(number: int) -> dict[str, Any]:
    """Return the row of a job that ended, one of a hundred each of another kind."""
    failed = number % 100 == 1
    return {
        "id": f"j{number}",
        "type": "reel" if number % 100 < 2 else "story_to_video",
        "state": "failed" if failed else "completed" if number % 100 else ("received", "waiting")[number // 100 % 2],
        "role": "render",
        "priority": "normal",
        "tenant": "acme" if number % 100 == 7 else None,
        "fingerprint": "f",
        "request": "{}",
        "door": "amqp",
        "received_at": 1_000.0 + number // 2,
        "not_before": 0.0,
        "wake_at": None,
        "error": '{"code": "render_failed", "message": "m"}' if failed else None,
    }


def is_chosen(row: dict[str, Any], chosen: dict[str, Any]) -> bool:
    if "since" in chosen and row["received_at"] < chosen["since"]:
        return False
    if "code" in chosen and row["error"] is None:
        return False
    if "states" in chosen and row["state"] not in chosen["states"]:
        return False
    return all(row[name] == chosen[key] for name, key in (("type", "type_"), ("tenant", "tenant")) if key in chosen)
