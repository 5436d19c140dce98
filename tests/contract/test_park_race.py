"""A race: a job is parked for its call while another transaction settles the call."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.ledger import call_claims, call_outcomes, call_transitions, calls
from consumer.ledger.call_claims import SubmissionPolicy
from consumer.ledger.call_records import CallResult
from consumer.ledger.call_request import CallSpec, Candidate
from consumer.ledger.database import Database
from consumer.ledger.states import State
from consumer.ledger.tables import jobs
from schemas.accounts import ProviderLimits
from tests.ledger_views import Ledger

SPEC = CallSpec(
    candidates=[Candidate("m", "p", {})], inputs={}, output_folder="s3://results/x/", fingerprint="f", type="reel"
)


def test_a_job_that_is_parked_while_its_call_ends_is_woken_or_continues(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.admit({"id": "j"})
    calls.enqueue_and_park(ledger.a, ledger.claimed(), "step", SPEC, tenant=None, urgency=1)
    policies = SubmissionPolicy(limits=lambda name: ProviderLimits(), budgets={}, price=lambda row: 7)
    (claimed,), _ = call_claims.claim_queued(ledger.a, policies, owner="e", lease_seconds=60, most=9)
    with ledger.a.write() as connection:
        connection.execute(sa.update(jobs).values(not_before=0.0))
    lease = ledger.claimed(owner="w")
    other = Database(ledger.b.url)
    write, parking = call_transitions.transition_call, []

    def slowly(*arguments: Any, **named: Any) -> None:
        parking.append(pool.submit(calls.park_unless_settled, other, lease, "step"))
        time.sleep(0.5)
        write(*arguments, **named)

    monkeypatch.setattr("consumer.ledger.call_outcomes.transition_call", slowly)
    with ThreadPoolExecutor(1) as pool:
        call_outcomes.record_done(ledger.a, claimed, CallResult(model="m", provider="p"), spent=1)
        found = parking[0].result(30)
    other.close()
    job = ledger.job()
    assert found is not None or (job.state is State.WAITING and job.wake_at is not None), "stuck: no wake-up is due"
