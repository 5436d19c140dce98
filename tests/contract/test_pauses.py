"""An operator pauses a job type or a provider: nothing of it begins until it is resumed."""

from __future__ import annotations

import time

import sqlalchemy as sa

from consumer.ledger import accounts, browsing, due, pauses, queries
from consumer.ledger.claims import claim_next
from consumer.ledger.database import db_now
from consumer.ledger.pauses import PauseKind
from consumer.ledger.states import CallState, State
from consumer.ledger.tables import calls, jobs
from ops.overview import take_overview
from ops.views import iso
from ops.waiting_on import waiting_on
from tests.call_line import Line
from tests.contract.test_ledger_sweep_and_outbox import make_due
from tests.ledger_views import Ledger, next_job


def test_no_job_of_a_paused_type_is_woken_or_picked_until_it_is_resumed(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    job_type = ledger.job().type
    assert pauses.pause(ledger.a, PauseKind.TYPE, job_type, by="anna")
    assert not pauses.pause(ledger.b, PauseKind.TYPE, job_type, by="bert")
    make_due(ledger.a)
    assert due.take_due(ledger.b, limit=9, again_seconds=60) == []
    assert next_job(ledger.b, "j") is None
    assert "was paused by anna" in (waiting_on(ledger.b, ledger.job(), embedded=False) or "")
    assert pauses.resume(ledger.b, PauseKind.TYPE, job_type)
    assert not pauses.resume(ledger.a, PauseKind.TYPE, job_type)
    assert next_job(ledger.a, "j") == "j"
    assert [wake.job_id for wake in due.take_due(ledger.a, limit=9, again_seconds=60)] == ["j"]


def test_another_type_goes_on_during_a_pause(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    pauses.pause(ledger.a, PauseKind.TYPE, "another-type", by="anna")
    pauses.pause(ledger.a, PauseKind.PROVIDER, ledger.job().type, by="anna")
    assert next_job(ledger.b, "j") == "j"


def test_no_call_is_sent_to_a_paused_provider_and_accepted_calls_are_finished(line: Line) -> None:
    database = line.runtime.database
    line.submit()
    assert line.advance() is State.WAITING
    line.start()
    line.until(lambda: line.call().state is not CallState.QUEUED)
    pauses.pause(database, PauseKind.PROVIDER, "alpha", by="anna")
    line.submit("k")
    assert line.advance("k") is State.WAITING
    line.until(lambda: line.call().settled)
    assert line.call("k").state is CallState.QUEUED
    assert "`telecine resume --provider alpha`" in (waiting_on(database, line.job("k"), embedded=True) or "")
    assert line.alpha.charges.total() == 1
    pauses.resume(database, PauseKind.PROVIDER, "alpha")
    line.until(lambda: line.call("k").settled)
    assert line.alpha.charges.total() == 2


def test_jobs_whose_wake_ups_were_dropped_during_a_pause_start_when_it_ends(ledger: Ledger) -> None:
    ledger.admit({"id": "j"}, {"id": "later", "not_before": iso(time.time() + 86_400)})
    for _ in range(8):  # in a long queue wake-ups become rare
        make_due(ledger.a)
        due.take_due(ledger.a, limit=9, again_seconds=60)
    assert (ledger.job().wake_at or 0) > ledger.a.now() + 3000
    job_type = ledger.job().type
    pauses.pause(ledger.a, PauseKind.TYPE, job_type, by="anna")
    assert next_job(ledger.b, "j") is None
    pauses.resume(ledger.a, PauseKind.TYPE, job_type)
    assert [wake.job_id for wake in due.take_due(ledger.b, limit=9, again_seconds=60)] == ["j"]


def test_claims_do_not_read_the_jobs_of_a_paused_type(ledger: Ledger) -> None:
    ledger.admit(*({"id": f"j{number}"} for number in range(3)), {"id": "another"})
    with ledger.a.write() as connection:
        connection.execute(sa.update(jobs).where(jobs.c.id == "another").values(type="another-type"))
    job_type = ledger.job("j0").type
    pauses.pause(ledger.a, PauseKind.TYPE, job_type, by="anna")
    with ledger.b.read() as connection:
        assert list(connection.execute(sa.select(jobs.c.id).where(jobs.c.line.is_not(None))).scalars()) == ["another"]
    assert next_job(ledger.b, "j1") == "another"
    pauses.resume(ledger.a, PauseKind.TYPE, job_type)
    assert len(due.take_due(ledger.b, limit=9, again_seconds=60)) == 4
    claims = [claim_next(ledger.b, "another", owner="one", seconds=60) for _ in range(4)]
    assert sorted(claim[0].job.id for claim in claims) == ["another", "j0", "j1", "j2"]


def test_jobs_of_a_paused_type_wait_for_its_end_and_for_no_worker(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    make_due(ledger.a)
    with ledger.a.write() as connection:
        connection.execute(sa.update(jobs).values(not_before=db_now() - 1000))
    assert [job.id for job in browsing.stuck_jobs(ledger.b, limit=9)] == ["j"]
    assert queries.count_jobs_by_role(ledger.b) == {"render": (1, 0)}
    (waiting,) = queries.list_queues(ledger.b)
    assert (waiting.status, waiting.jobs, 1000 <= waiting.oldest_seconds < 1060) == ("due", 1, True)
    pauses.pause(ledger.a, PauseKind.TYPE, ledger.job().type, by="anna")
    assert browsing.stuck_jobs(ledger.b, limit=9) == []
    assert queries.count_jobs_by_role(ledger.b) == {"render": (0, 0)}
    assert take_overview(ledger.b).waiting_for == {"the end of a pause of their type": 1}


def test_no_call_is_diverted_from_an_open_breaker_to_a_paused_provider(line: Line) -> None:
    database, limits = line.runtime.database, line.runtime.settings.limits_of("alpha")
    line.submit(data={"models": ["first", "second"]})
    assert line.advance() is State.WAITING
    with database.write() as connection:
        accounts.allowance(database, connection, "alpha", limits, database.now())
        for _ in range(limits.breaker_failures):
            accounts.record_failure(connection, "alpha", limits, "down")
    pauses.pause(database, PauseKind.PROVIDER, "beta", by="anna")
    line.start()
    line.until(lambda: (line.call().due_at or 0) > database.now())  # it waits for the breaker
    assert (line.call().provider, line.call().state) == ("alpha", CallState.QUEUED)
    pauses.resume(database, PauseKind.PROVIDER, "beta")
    with database.write() as connection:
        connection.execute(sa.update(calls).values(due_at=db_now()))
    line.until(lambda: line.call().settled)
    assert line.beta.charges.total() == 1
