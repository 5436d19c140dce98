"""The second half of the conformance suite: sweep, cancellation, callbacks, dead letters, deletion."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from consumer.ledger import completion, dead_letters, deletion, due, leases, outbox, queries
from consumer.ledger.database import Database, db_now
from consumer.ledger.states import DeliveryState, State
from consumer.ledger.tables import jobs
from schemas.errors import DeadlineExceeded, InvalidJson, JobCancelled, JobNotFound, LeaseLost, MessageTooLarge
from tests.ledger_views import Ledger, count_jobs, delivery, renewed


def make_due(database: Database) -> None:
    """Let the sweep's delays pass."""
    with database.write() as connection:
        connection.execute(sa.update(jobs).where(jobs.c.wake_at.is_not(None)).values(wake_at=db_now() - 1))


def enqueue(ledger: Ledger, *news: outbox.NewDelivery) -> None:
    """Enqueue callbacks in the outbox."""
    with ledger.a.write() as connection:
        for new in news:
            outbox.enqueue(ledger.a, connection, new)


def reject(ledger: Ledger, body: bytes, **how: object) -> int:
    """Store a dead letter."""
    with ledger.a.write() as connection:
        return dead_letters.add_dead_letter(
            connection,
            door="inbox",
            source="x" * 2000,
            request_id=str(how.get("id", "j")),
            error=InvalidJson("no"),
            body=body,
            headers={"a": 1, "b": object},
        )


def waits(ledger: Ledger, again_seconds: float, expected: float) -> None:
    """Check that one sweep claims the job now, and that the next one may after ``expected`` seconds."""
    make_due(ledger.a)
    before = ledger.b.now()
    assert [w.job_id for w in due.take_due(ledger.a, limit=9, again_seconds=again_seconds)] == ["j"]
    after = ledger.b.now()
    assert due.take_due(ledger.b, limit=9, again_seconds=again_seconds) == []
    assert before + expected - 0.01 <= (ledger.job().wake_at or 0) <= after + expected + 0.01


def test_a_wake_up_is_repeated_with_backoff_until_a_worker_claims_the_job(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    for repetition in range(13):
        waits(ledger, 20, min(20 * 2**repetition, 3600))
    waits(ledger, 0.5, 512)
    leases.park(ledger.a, ledger.claimed(), seconds=-1, event="retry_later", failures=1)
    waits(ledger, 20, 20)


def test_due_jobs_come_oldest_first_with_role_and_priority_up_to_the_limit(ledger: Ledger) -> None:
    for number in range(5):
        ledger.admit({"id": f"j{number}", "priority": "high" if number == 0 else "low"})
    make_due(ledger.a)
    first = due.take_due(ledger.a, limit=2, again_seconds=60)
    rest = due.take_due(ledger.b, limit=9, again_seconds=60)
    assert sorted(wake.job_id for wake in [*first, *rest]) == ["j0", "j1", "j2", "j3", "j4"]
    assert len(first) == 2
    assert due.Wake("j0", "render", "high", "reel") in [*first, *rest]


def test_concurrent_sweeps_never_take_the_same_job(ledger: Ledger) -> None:
    ledger.admit(*({"id": f"j{number}"} for number in range(60)))
    make_due(ledger.a)
    together = threading.Barrier(6)

    def sweep(number: int) -> list[str]:
        together.wait(10)
        found = due.take_due((ledger.a, ledger.b)[number % 2], limit=20, again_seconds=60)
        return [wake.job_id for wake in found]

    with ThreadPoolExecutor(6) as pool:
        taken = [job_id for found in pool.map(sweep, range(6)) for job_id in found]
    taken += [wake.job_id for wake in due.take_due(ledger.a, limit=60, again_seconds=60)]
    assert sorted(taken) == sorted({f"j{number}" for number in range(60)})


def test_a_leased_job_is_not_woken_until_its_lease_expires(ledger: Ledger) -> None:
    ledger.admit({"id": "held"}, {"id": "lost"})
    ledger.claimed("held")
    ledger.claimed("lost", seconds=-1)
    assert [w.job_id for w in due.take_due(ledger.b, limit=9, again_seconds=5)] == ["lost"]


def test_resetting_wake_ups_wakes_idle_jobs_and_keeps_the_times_of_parked_ones(ledger: Ledger) -> None:
    ledger.admit({"id": "new"}, {"id": "parked"}, {"id": "held"}, {"id": "lost"})
    leases.park(ledger.a, ledger.claimed("parked"), seconds=500, event="retry_later", failures=1)
    ledger.claimed("held")
    ledger.claimed("lost", seconds=-1)
    ledger.ended(State.FAILED, "over")
    due.reset_wakeups(ledger.a)
    assert {w.job_id for w in due.take_due(ledger.b, limit=9, again_seconds=60)} == {"new", "lost"}
    assert ledger.job("parked").wake_at == ledger.job("parked").not_before
    assert ledger.job("over").wake_at is None


def test_a_cancelled_job_ends_once_and_its_worker_is_notified(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    lease = ledger.claimed()
    assert not renewed(ledger.a, lease, seconds=60, progress=0).cancel_requested
    for _ in range(2):
        completion.request_cancel(ledger.b, "j", by="inbox")
    assert renewed(ledger.a, lease, seconds=60, progress=0).cancel_requested
    assert due.cancelled_or_expired(ledger.b, limit=9) == []
    assert not completion.finish_unleased(ledger.b, "j", State.CANCELLED, JobCancelled(), delivery())
    leases.park(ledger.a, lease, seconds=60, event="retry_later", failures=1)
    assert [job.id for job in due.cancelled_or_expired(ledger.b, limit=9)] == ["j"]
    assert completion.finish_unleased(ledger.b, "j", State.CANCELLED, JobCancelled(), delivery())
    assert not completion.finish_unleased(ledger.a, "j", State.CANCELLED, JobCancelled(), delivery())
    assert ledger.job().error == {"code": "cancelled", "message": "The job was cancelled.", "retryable": False}
    assert ledger.events() == ["received", "claimed", "cancel_requested", "retry_later", "cancelled", "callback_queued"]
    with pytest.raises(JobNotFound, match="no job has the id 'unknown'"):
        completion.request_cancel(ledger.a, "unknown", by="inbox")


def test_a_deadline_is_noticed_by_the_worker_and_by_the_sweep(ledger: Ledger) -> None:
    ledger.admit({"id": "late", "deadline": 0.001}, {"id": "held", "deadline": 0.001}, {"id": "early", "deadline": 600})
    lease = ledger.claimed("held")
    while ledger.b.now() <= (ledger.job("held").deadline_at or 0):
        pass
    assert renewed(ledger.a, lease, seconds=-1, progress=0).deadline_passed
    assert sorted(job.id for job in due.cancelled_or_expired(ledger.b, limit=9)) == ["held", "late"]
    assert completion.finish_unleased(ledger.b, "held", State.EXPIRED, DeadlineExceeded(), None)
    with pytest.raises(LeaseLost):
        completion.finish(ledger.a, lease, State.FAILED)
    assert ledger.job("held").state is State.EXPIRED


def test_a_callback_is_enqueued_once_and_claimed_once(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    enqueue(ledger, delivery(), delivery(), delivery(None, 2))
    assert ledger.events() == ["received", "callback_queued"]
    taken = outbox.claim_due(ledger.a, limit=9, seconds=60)
    assert sorted(d.id for d in taken) == ["msg_1", "msg_2"]
    assert taken[0].body == b"{}"
    assert outbox.claim_due(ledger.b, limit=9, seconds=60) == []


def test_deliveries_under_contention_are_claimed_once_each(ledger: Ledger) -> None:
    enqueue(ledger, *(delivery(None, number) for number in range(60)))
    together = threading.Barrier(6)

    def take(number: int) -> list[str]:
        together.wait(10)
        return [d.id for d in outbox.claim_due((ledger.a, ledger.b)[number % 2], limit=20, seconds=60)]

    with ThreadPoolExecutor(6) as pool:
        taken = [found for part in pool.map(take, range(6)) for found in part]
    taken += [d.id for d in outbox.claim_due(ledger.a, limit=60, seconds=60)]
    assert len(taken) == len(set(taken)) == 60


def test_only_the_latest_claim_of_a_callback_may_record_its_attempt(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    enqueue(ledger, delivery())
    (first,) = outbox.claim_due(ledger.a, limit=9, seconds=-1)
    (second,) = outbox.claim_due(ledger.b, limit=9, seconds=60)
    assert second.epoch == first.epoch + 1
    assert not outbox.record_attempt(ledger.a, first, DeliveryState.EXHAUSTED, answer="HTTP 500", retry_in=None)
    assert outbox.record_attempt(ledger.b, second, DeliveryState.RETRYING, answer="x" * 999, retry_in=-1)
    (third,) = outbox.claim_due(ledger.a, limit=9, seconds=60)
    assert (third.state, third.attempts, third.last_answer) == (DeliveryState.RETRYING, 1, "x" * 255)
    assert outbox.record_attempt(ledger.a, third, DeliveryState.DELIVERED, answer="HTTP 200", retry_in=None)
    (found,) = queries.deliveries_of(ledger.b, "j")
    assert (found.state, found.attempts, found.due_at) == (DeliveryState.DELIVERED, 2, None)
    assert found.delivered_at is not None
    assert ledger.events() == ["received", "callback_queued", "callback_retrying", "callback_delivered"]


def test_a_replayed_callback_is_due_again_under_its_old_id_with_a_fresh_schedule(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    enqueue(ledger, delivery())
    (sent,) = outbox.claim_due(ledger.a, limit=9, seconds=60)
    outbox.record_attempt(ledger.a, sent, DeliveryState.EXHAUSTED, answer="HTTP 500", retry_in=None)
    assert outbox.replay(ledger.b, ["msg_1", "msg_unknown"]) == 1
    (again,) = outbox.claim_due(ledger.a, limit=9, seconds=60)
    assert (again.id, again.state, again.attempts) == ("msg_1", DeliveryState.PENDING, 0)
    assert not outbox.record_attempt(ledger.a, sent, DeliveryState.DELIVERED, answer="late", retry_in=None)
    assert ledger.events()[-1] == "callback_replayed"


def test_a_failed_completion_leaves_neither_outcome_nor_callback(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    lease = ledger.claimed()
    completion.begin_storing(ledger.a, lease)
    before = ledger.everything()
    with pytest.raises(TypeError):
        completion.finish(ledger.a, lease, State.COMPLETED, outcome={"x": object()}, delivery=delivery())
    assert ledger.everything() == before


def test_a_dead_letter_keeps_every_byte_up_to_the_limit(ledger: Ledger) -> None:
    every_byte = bytes(range(256)) * 4
    seq = reject(ledger, every_byte)
    found = dead_letters.find(ledger.b, seq)
    assert found is not None
    assert (found.body, found.code, found.message, len(found.source)) == (every_byte, "invalid_json", "no", 1024)
    assert found.headers == {"a": 1, "b": repr(object)}


def test_dead_letters_are_listed_newest_first_and_a_replayed_one_is_not_pending(ledger: Ledger) -> None:
    assert dead_letters.newest_number(ledger.b) == 0
    numbers = [reject(ledger, b"", id=name) for name in ("j", "k", "j")]
    with ledger.a.write() as connection:
        dead_letters.mark_replayed(connection, numbers[1])
    assert [r.seq for r in dead_letters.list_newest(ledger.b, limit=9)] == numbers[::-1]
    assert [r.seq for r in dead_letters.list_newest(ledger.b, limit=9, pending_only=True)] == [numbers[2], numbers[0]]
    assert dead_letters.pending_numbers(ledger.b) == [numbers[0], numbers[2]]
    assert dead_letters.newest_number(ledger.b) == numbers[2]
    later = dead_letters.find_for_request(ledger.b, "j", after=numbers[0])
    assert later is not None
    assert later.seq == numbers[2]
    assert dead_letters.find_for_request(ledger.b, "j", after=numbers[2]) is None
    assert dead_letters.find(ledger.b, 10**9) is None
    assert queries.count_dead_letters(ledger.b) == {"invalid_json": 2}
    assert MessageTooLarge.code not in queries.count_dead_letters(ledger.b)


def test_an_ended_job_is_deleted_with_all_its_rows_and_an_open_one_is_not(ledger: Ledger) -> None:
    ledger.ended(State.COMPLETED, "old", delivery=delivery("old", 1))
    ledger.ended(State.FAILED, "other")
    ledger.admit({"id": "open", "output": "s3://abc/x"}, {"id": "open2", "output": "s3://abc/x/"}, {"id": "open3"})
    assert [job.id for job in deletion.ended_before(ledger.b, age_seconds=0, limit=9)] == ["other"]
    (sent,) = outbox.claim_due(ledger.a, limit=9, seconds=60)
    outbox.record_attempt(ledger.a, sent, DeliveryState.DELIVERED, answer="HTTP 200", retry_in=None)
    assert [job.id for job in deletion.ended_before(ledger.b, age_seconds=0, limit=9)] == ["old", "other"]
    assert deletion.ended_before(ledger.b, age_seconds=60, limit=9) == []
    assert [job.id for job in deletion.ended_before(ledger.b, age_seconds=0, limit=1, offset=1)] == ["other"]
    assert not deletion.delete_job(ledger.a, "open")
    assert not deletion.delete_job(ledger.a, "unknown")
    assert deletion.delete_job(ledger.a, "old")
    assert queries.find_job(ledger.b, "old") is None
    assert ledger.events("old") == []
    assert queries.deliveries_of(ledger.b, "old") == []
    assert ledger.events("other")
    assert deletion.outputs(ledger.b) == ["s3://abc/x/"]
    assert count_jobs(ledger.b) == {"failed": 1, "received": 3}
