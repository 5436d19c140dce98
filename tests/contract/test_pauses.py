"""An operator pauses a job type or a provider: nothing of it begins until it is resumed."""

from __future__ import annotations

from consumer.ledger import due, pauses
from consumer.ledger.pauses import PauseKind
from consumer.ledger.states import CallState, State
from ops.waiting_on import waiting_on
from tests.call_line import Line
from tests.contract.test_ledger_sweep_and_outbox import make_due
from tests.ledger_views import Ledger


def test_no_job_of_a_paused_type_is_woken_or_picked_until_it_is_resumed(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    job_type = ledger.job().type
    assert pauses.pause(ledger.a, PauseKind.TYPE, job_type, by="anna")
    assert not pauses.pause(ledger.b, PauseKind.TYPE, job_type, by="bert")
    make_due(ledger.a)
    assert due.take_due(ledger.b, limit=9, again_seconds=60) == []
    assert due.pick_job(ledger.b, "j") is None
    assert "was paused by anna" in (waiting_on(ledger.b, ledger.job(), embedded=False) or "")
    assert pauses.resume(ledger.b, PauseKind.TYPE, job_type)
    assert not pauses.resume(ledger.a, PauseKind.TYPE, job_type)
    assert due.pick_job(ledger.a, "j") == "j"
    assert [wake.job_id for wake in due.take_due(ledger.a, limit=9, again_seconds=60)] == ["j"]


def test_another_type_goes_on_during_a_pause(ledger: Ledger) -> None:
    ledger.admit({"id": "j"})
    pauses.pause(ledger.a, PauseKind.TYPE, "another-type", by="anna")
    pauses.pause(ledger.a, PauseKind.PROVIDER, ledger.job().type, by="anna")
    assert due.pick_job(ledger.b, "j") == "j"


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
