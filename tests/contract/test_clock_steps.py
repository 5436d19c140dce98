"""The clock of the ledger's database is set back or forward."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from consumer.callbacks.schedule import DELAYS_SECONDS, JITTER
from consumer.calls import claiming, retry_policy
from consumer.calls.actions import LEASE_SECONDS
from consumer.execution import outcome
from consumer.execution.sweep import Sweep
from consumer.ledger import accounts, clock, leases, outbox, uploads
from consumer.ledger.database import Database
from consumer.ledger.due import Wake
from consumer.ledger.states import DeliveryState, State
from consumer.ledger.tables import jobs, metadata
from consumer.uploads import loop as uploads_loop
from providers.base import Call, Failed, Pending, Ready, TaskRef
from providers.http.retry_after import MAX_RETRY_AFTER_SECONDS
from schemas.errors import ProviderUnavailable
from tests.ask_pipeline import models
from tests.call_line import Line
from tests.ledger_views import Ledger, delivery

HOUR, DAYS = 3_600.0, 40 * 86_400.0


def set_back(database: Database, seconds: float) -> None:
    """Leave the ledger as a clock leaves it that is set back: every stored time is ``seconds`` later than it was."""
    with database.write() as connection:
        for table in metadata.sorted_tables:
            times = [column for column in table.c if isinstance(column.type, sa.Double) and column.name != "tokens"]
            if times:
                # 0 means never.
                moved = {c.name: sa.case((c > 0, c + seconds), else_=c) for c in times}
                connection.execute(sa.update(table).values(moved))


def settled(line: Line, name: str) -> bool:
    return line.call(name).settled


def swept(line: Line) -> set[str]:
    """Sweep once; return the jobs that it woke."""
    woken: set[str] = set()

    def wake(wakes: Sequence[Wake]) -> bool:
        woken.update(found.job_id for found in wakes)
        return True

    Sweep(line.runtime, wake).sweep()
    return woken


@pytest.mark.parametrize("step", [1_000.0, HOUR, DAYS])
def test_jobs_go_on_although_the_clock_was_set_back_attack_8(step: float, line: Line) -> None:
    ledger = Ledger(line.runtime.database, line.runtime.database)
    database = ledger.a
    names = ("received", "woken", "parked", "old", "dead", "call")
    for name in names:
        line.submit(name)
    long_ago = {"received_at": jobs.c.received_at - 2 * DAYS, "failures": 3}
    with database.write() as connection:
        connection.execute(sa.update(jobs).where(jobs.c.id == "old").values(long_ago))
        connection.execute(sa.update(jobs).where(jobs.c.id == "woken").values(wakes=3, wake_at=database.now() + 200))
    for name in ("parked", "old"):
        leases.park(database, ledger.claimed(name), seconds=300, event="retry_later", failures=3)
    ledger.claimed("dead", seconds=line.runtime.settings.lease_seconds)
    assert line.advance("call") is State.WAITING
    set_back(database, step)
    assert swept(line) == {"received", "woken", "parked", "old"}
    assert all(leases.claim(database, name, owner="two", seconds=9) for name in ("received", "woken", "parked", "old"))
    # A lease ends after its normal duration, because its worker may be alive.
    lease_until = ledger.job("dead").lease_until
    assert lease_until is not None
    assert database.now() + 20 < lease_until <= database.now() + line.runtime.settings.lease_seconds
    assert swept(line) == set()  # nothing is woken again and again until the clock has caught up
    line.start()
    line.until(lambda: line.call("call").settled)
    assert line.advance("call") is State.COMPLETED


@pytest.mark.parametrize("step", [0.0, HOUR])
def test_a_job_that_is_scheduled_for_later_is_not_hastened(step: float, line: Line) -> None:
    ledger = Ledger(line.runtime.database, line.runtime.database)
    line.submit("later", not_before=HOUR * 50)
    scheduled = ledger.job("later").scheduled_for
    assert scheduled is not None
    set_back(ledger.a, step)
    for _ in range(2):
        assert swept(line) == set()
        job = ledger.job("later")
        assert job.not_before == pytest.approx(scheduled + step)
        assert scheduled + step <= (job.wake_at or 0) <= scheduled + step + 10


@pytest.mark.parametrize("step", [1_000.0, HOUR, DAYS])
def test_callbacks_uploads_and_accounts_go_on_although_the_clock_was_set_back_attack_8(step: float, line: Line) -> None:
    database, limits = line.runtime.database, line.runtime.settings.limits_of("alpha")
    with database.write() as connection:
        for number in range(2):
            outbox.enqueue(database, connection, delivery(None, number))
        uploads.enqueue(connection, door="sqs", source="q", body=b"{}", headers={})
        accounts.allowance(database, connection, "alpha", limits, database.now())
        accounts.use_allowance(connection, "alpha", limits, database.now(), int(limits.burst))
        accounts.pause(connection, "alpha", 5, "429")
        for _ in range(limits.breaker_failures):
            accounts.record_failure(connection, "alpha", limits, "503")
    outbox.claim_due(database, limit=1, seconds=40)
    set_back(database, step)
    swept(line)
    assert len(outbox.claim_due(database, limit=9, seconds=40)) == 2
    assert len(uploads.claim_due(database, limit=9, seconds=15)) == 1
    now = database.now()
    with database.write() as connection:
        assert accounts.open_breakers(connection, now) == {}
        assert accounts.allowance(database, connection, "alpha", limits, now) == 1  # the trial call
        accounts.record_answer(connection, "alpha")
        assert accounts.allowance(database, connection, "alpha", limits, now + 60) >= 1  # the rate limit refills


@pytest.mark.parametrize("step", [HOUR, DAYS])
def test_calls_go_on_although_the_clock_was_set_back_attack_8(step: float, line: Line) -> None:
    line.alpha.polls = 3
    line.submit("working", data={"models": ["first"]})
    assert line.advance("working") is State.WAITING
    line.start()
    line.until(lambda: line.call("working").polls > 0)
    line.stop()
    line.submit("queued", data={"models": ["first"]})
    assert line.advance("queued") is State.WAITING
    set_back(line.runtime.database, step)
    swept(line)
    line.start()
    for name in ("working", "queued"):
        line.until(functools.partial(settled, line, name))
        assert line.advance(name) is State.COMPLETED
    assert line.alpha.charges.total() == 2


def test_a_retry_that_the_schedule_put_off_is_not_hastened(line: Line) -> None:
    database = line.runtime.database
    line.submit("j")
    with database.write() as connection:
        outbox.enqueue(database, connection, delivery("j", 1))
    (claimed,) = outbox.claim_due(database, limit=1, seconds=40)
    outbox.record_attempt(
        database, claimed, DeliveryState.RETRYING, answer="HTTP 503", retry_in=DELAYS_SECONDS[-1] * (1 + JITTER)
    )
    leases.park(database, Ledger(database, database).claimed("j"), seconds=900, event="retry_later", failures=3)
    before = Ledger(database, database).everything()
    swept(line)
    assert Ledger(database, database).everything() == before


def test_the_longest_waits_are_those_that_the_code_sets() -> None:
    assert clock.RETRY_SECONDS >= outcome.MAX_RETRY_SECONDS
    assert clock.CALL_SECONDS >= retry_policy._MAX_BACKOFF_SECONDS
    assert clock.SUBMISSION_LEASE_SECONDS >= claiming.SUBMIT_LEASE_SECONDS
    assert clock.CALL_LEASE_SECONDS >= LEASE_SECONDS
    assert max(uploads_loop.LONGEST_WAIT_SECONDS, uploads_loop.VISIBILITY_SECONDS) <= clock.UPLOAD_SECONDS
    assert max(MAX_RETRY_AFTER_SECONDS, *DELAYS_SECONDS) * (1 + JITTER) <= clock.ASKED_SECONDS


@pytest.mark.parametrize("trouble", ["none", "restart", "failed polls"])
def test_a_paid_task_is_not_given_up_because_the_clock_was_set_forward_attack_8(
    trouble: str, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task is as old as it was: only the ledger's clock says that its time limit has passed."""
    monkeypatch.setattr(retry_policy, "backoff", lambda failures: 0.01)
    line.alpha.polls = 10_000
    line.submit(data={"models": ["first", "second"]})
    assert line.advance() is State.WAITING
    line.start()
    line.until(lambda: line.call().polls > 3)
    if trouble == "restart":
        line.stop()
    set_back(line.runtime.database, -HOUR)
    if trouble == "restart":
        line.start()
    polls, failures = line.call().polls, 2 * line.runtime.settings.max_failures
    poll = line.alpha.poll

    async def fail(call: Call, task: TaskRef) -> Pending | Ready | Failed:
        nonlocal failures
        failures -= 1
        if failures > 0:
            raise ProviderUnavailable("503")
        line.alpha.polls = 0
        return await poll(call, task)

    if trouble == "failed polls":
        line.alpha.poll = fail  # type: ignore[method-assign]
    else:
        line.until(lambda: line.call().polls > polls + 3 or line.call().settled)
        line.alpha.polls = 0
    line.until(lambda: line.call().settled)
    assert line.advance() is State.COMPLETED
    assert (line.alpha.charges.total(), line.beta.charges.total()) == (1, 0)


def test_a_task_that_never_ends_is_given_up_although_the_clock_was_set_back_attack_8(line: Line) -> None:
    object.__setattr__(line.runtime, "catalogue", models(timeout_seconds=1.0))
    line.alpha.polls = 10_000
    line.submit(data={"models": ["first"]})
    assert line.advance() is State.WAITING
    line.start()
    line.until(lambda: line.call().polls > 1)
    set_back(line.runtime.database, DAYS)
    swept(line)
    line.until(lambda: line.call().settled)
    line.advance()
    assert (line.job().error or {})["code"] == "provider_timeout"
