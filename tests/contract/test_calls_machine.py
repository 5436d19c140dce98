"""The guarantees about paid calls hold for any interleaving of engines, providers, crashes and operators.

The machine simulates the providers: a request that has arrived is charged, whether or not its response is read. A
request can arrive while its lease lasts, which is longer than an exchange; the response may be read at any later time.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from consumer.ledger import accounts, call_claims, call_outcomes, call_resolution, calls, completion, leases, queries
from consumer.ledger.admission import admit, build_submission
from consumer.ledger.call_claims import ClaimedCall, SubmissionPolicy
from consumer.ledger.call_records import CallResult, CallRow, CallTask, ProviderResult, call_from
from consumer.ledger.call_request import CallSpec, Candidate
from consumer.ledger.schema import migrate
from consumer.ledger.states import OPEN, CallState, State
from consumer.ledger.tables import calls as table
from schemas.accounts import Budget, ProviderLimits
from schemas.errors import JobCancelled, LeaseLost, ProviderError, ProviderUnavailable, RenderFailed, StepSettled
from tests.contract.test_ledger_machine import Clock, clock, opened, reel

assert clock  # the fixture

IDS = st.sampled_from(["a", "b", "c"])
VIEWS = st.integers(0, 1)
PICKS = st.integers(0, 99)
LEASE_SECONDS = 10.0
PRICE = 100_000
BUDGET = Budget(usd=0.25, period="ever")
LIMITS = ProviderLimits(rate_per_minute=60_000, burst=1000, concurrency=2, breaker_failures=3, breaker_seconds=20)
#: The provider that can be searched; beta cannot.
SEARCHED = "alpha"
POLICIES = SubmissionPolicy(limits=lambda name: LIMITS, budgets={"*": BUDGET}, price=lambda row: PRICE)


class CallMachine(RuleBasedStateMachine):
    """Two engines, two providers, a worker and an operator."""

    template: Path

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(self.template, self.folder / "ledger.sqlite3")
        self.views = [opened(self.folder / "ledger.sqlite3") for _ in range(2)]
        #: Claims, including those that were lost.
        self.sending: list[ClaimedCall] = []
        self.looking: list[ClaimedCall] = []
        self.arrived: set[tuple[str, int]] = set()
        self.charges: Counter[str] = Counter()
        self.last: dict[str, CallRow] = {}

    def teardown(self) -> None:
        for view in getattr(self, "views", []):
            view.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @rule(job_id=IDS, providers=st.sampled_from([("alpha",), ("beta",), ("alpha", "beta"), ("beta", "alpha")]))
    def job_enqueues_a_call(self, job_id: str, providers: tuple[str, ...]) -> None:
        database = self.views[0]
        if queries.find_job(database, job_id) is not None:
            return
        with database.write() as connection:
            admit(database, connection, [build_submission(reel(job_id), role="io", door="test")])
        claim = leases.claim(database, job_id, owner="worker", seconds=LEASE_SECONDS)
        assert claim is not None
        spec = CallSpec(
            candidates=[Candidate(f"model-{name}", name, {}) for name in providers],
            inputs={},
            output_folder="s3://out/",
            fingerprint=claim.job.fingerprint,
            type="reel",
        )
        calls.enqueue_and_park(database, claim.lease, "step", spec, tenant=None, urgency=1)

    @rule(seconds=st.sampled_from([0.5, 4.0, LEASE_SECONDS + 0.1, 40.0]))
    def time_passes(self, seconds: float) -> None:
        Clock.now += seconds

    @rule(view=VIEWS, owner=st.sampled_from(["e1", "e2"]))
    def engine_claims_queued_calls(self, view: int, owner: str) -> None:
        database = self.views[view]
        submitted, refused_calls = call_claims.claim_queued(
            database, POLICIES, owner=owner, lease_seconds=LEASE_SECONDS, most=9
        )
        self.sending += submitted
        for refused in refused_calls:
            call_outcomes.record_failed(database, refused.claimed, ProviderError("refused"), spent=0)

    @precondition(lambda self: self.sending)
    @rule(pick=PICKS)
    def request_arrives(self, pick: int) -> None:
        claimed = self.sending[pick % len(self.sending)]
        once = (self.sent(claimed), claimed.epoch)
        if claimed.now + LEASE_SECONDS > Clock.now and once not in self.arrived:
            self.arrived.add(once)
            self.charges[self.sent(claimed)] += 1

    @precondition(lambda self: self.sending)
    @rule(pick=PICKS, view=VIEWS, answer=st.sampled_from(["known", "ready", "lost", "crash"]))
    def response_is_read(self, pick: int, view: int, answer: str) -> None:
        database, claimed = self.views[view], self.sending.pop(pick % len(self.sending))
        charged = (self.sent(claimed), claimed.epoch) in self.arrived
        if answer == "crash":
            return
        if answer == "lost":
            error = ProviderError("reset")
            call_outcomes.record_unknown(database, claimed, error, look_up=claimed.call.provider == SEARCHED)
            return
        try:
            if not charged:
                with database.write() as connection:
                    accounts.record_failure(connection, claimed.call.provider, LIMITS, "down")
                call_outcomes.reschedule(database, claimed, 1.0, ProviderUnavailable("down"))
            elif answer == "known":
                call_outcomes.record_accepted(
                    database, claimed, CallTask(self.sent(claimed)), wait_seconds=1.0, give_up=60.0
                )
            else:
                ready = call_outcomes.record_ready(
                    database, claimed, ProviderResult(value=1), lease_seconds=LEASE_SECONDS
                )
                call_outcomes.record_done(database, ready, CallResult(model="m", provider="p"), spent=PRICE)
        except LeaseLost:
            assert self.row(claimed).epoch > claimed.epoch or self.row(claimed).settled

    @rule(view=VIEWS)
    def engine_finds_lost_submissions(self, view: int) -> None:
        for row in call_claims.lost_submissions(self.views[view]):
            assert (row.lease_until or 0) <= Clock.now
            call_outcomes.record_lost(self.views[view], row, look_up=row.provider == SEARCHED)

    @rule(view=VIEWS, owner=st.sampled_from(["e1", "e2"]))
    def engine_claims_due_calls(self, view: int, owner: str) -> None:
        self.looking += call_claims.claim_due(self.views[view], owner=owner, lease_seconds=LEASE_SECONDS, most=9)

    @precondition(lambda self: self.looking)
    @rule(pick=PICKS, view=VIEWS, answer=st.sampled_from(["pending", "ready", "fails", "later", "crash"]))
    def engine_acts(self, pick: int, view: int, answer: str) -> None:
        database, claimed = self.views[view], self.looking.pop(pick % len(self.looking))
        if answer == "crash":
            return
        try:
            self.act(database, claimed, answer)
        except LeaseLost:
            row = self.row(claimed)
            assert (row.epoch, row.lease_owner) != (claimed.epoch, claimed.owner)

    def act(self, database: Any, claimed: ClaimedCall, answer: str) -> None:
        """Act for the claimed call as the engine does."""
        state = claimed.call.state
        if answer == "later":
            call_outcomes.reschedule(database, claimed, 2.0, ProviderUnavailable("away"))
        elif state is CallState.UNKNOWN:
            self.look_up(database, claimed)
        elif claimed.call.cancel_requested:
            call_outcomes.record_cancelled(database, claimed, spent=PRICE)
        elif answer == "pending" and state is CallState.WORKING:
            call_outcomes.record_pending(database, [(claimed, 3.0)])
        elif answer == "fails":
            call_outcomes.record_failed(database, claimed, ProviderError("no"), spent=PRICE)
        else:
            kept = call_outcomes.record_ready(
                database, claimed, ProviderResult(url="secret"), lease_seconds=LEASE_SECONDS
            )
            call_outcomes.record_done(database, kept, CallResult(model="m", provider="p"), spent=PRICE)

    def look_up(self, database: Any, claimed: ClaimedCall) -> None:
        """Search the provider, or abandon the call if it cannot be searched."""
        if claimed.call.provider != SEARCHED:
            call_outcomes.abandon(database, claimed)
        elif self.charges[self.sent(claimed)]:
            call_outcomes.record_accepted(
                database, claimed, CallTask(self.sent(claimed)), wait_seconds=0.0, give_up=60.0
            )
        else:
            call_outcomes.record_not_found(database, claimed)

    @rule(job_id=IDS, adopt=st.booleans())
    def operator_decides(self, job_id: str, adopt: bool) -> None:
        database = self.views[0]
        row = calls.latest(database, job_id, "step")
        if row is None or row.state is not CallState.UNKNOWN:
            return
        try:
            if not adopt:
                call_resolution.write_off(database, row, by="operator")
            elif self.charges[row.id]:
                call_resolution.adopt(database, row, row.id, by="operator", give_up_seconds=60)
            elif all(
                self.sent(claimed) != row.id or claimed.now + LEASE_SECONDS <= Clock.now for claimed in self.sending
            ):
                call_resolution.resubmit(database, row, by="operator")
        except StepSettled:
            job = queries.find_job(database, job_id)
            assert job is not None
            assert job.terminal

    @rule(job_id=IDS)
    def job_is_cancelled(self, job_id: str) -> None:
        database = self.views[0]
        job = queries.find_job(database, job_id)
        if job is not None and not job.terminal:
            completion.request_cancel(database, job_id, by="operator")
            completion.finish_unleased(database, job_id, State.CANCELLED, JobCancelled(), None)

    @rule(job_id=IDS, view=VIEWS)
    def worker_replays(self, job_id: str, view: int) -> None:
        database = self.views[view]
        claim = leases.claim(database, job_id, owner="worker", seconds=LEASE_SECONDS)
        if claim is None:
            return
        row = calls.latest(database, job_id, "step")
        assert row is not None
        assert row.settled, "a job is claimed only when its call has ended"
        assert calls.park_unless_settled(database, claim.lease, "step") is not None
        if row.state is CallState.DONE:
            completion.begin_storing(database, claim.lease)
            completion.finish(database, claim.lease, State.COMPLETED, outcome={})
        else:
            completion.finish(database, claim.lease, State.FAILED, error=RenderFailed())

    def sent(self, claimed: ClaimedCall) -> str:
        """Return the key that the provider gets."""
        return claimed.call.id

    def row(self, claimed: ClaimedCall) -> CallRow:
        """Return the current row of the claimed call."""
        return next(row for row in calls.of_job(self.views[0], claimed.call.job_id) if row.id == claimed.call.id)

    @invariant()
    def guarantees_hold(self) -> None:
        if not hasattr(self, "views"):
            return
        database = self.views[1]
        assert max(self.charges.values(), default=0) <= 1, "paid twice"
        with database.read() as connection:
            rows = [call_from(row) for row in connection.execute(sa.select(table)).mappings()]
        assert sum(row.reserved + row.spent for row in rows) <= BUDGET.micros
        assert len({row.job_id for row in rows if not row.settled}) == sum(not row.settled for row in rows)
        for row in rows:
            self.check(row)
            self.last[row.id] = row
        for job in queries.list_jobs(database, limit=9):
            mine = max((row for row in rows if row.job_id == job.id), key=lambda row: row.attempt)
            if job.state is State.WAITING:
                assert (job.not_before <= Clock.now) == mine.settled, "woken exactly when the call has ended"
            if job.state not in OPEN:
                assert mine.state is not CallState.QUEUED, "no engine would submit it"
                assert mine.settled or mine.cancel_requested

    def check(self, row: CallRow) -> None:
        """Check the call, also against its state before the last rule."""
        out = row.state in (CallState.SUBMITTING, CallState.WORKING, CallState.FETCHING, CallState.UNKNOWN)
        assert row.reserved == (PRICE if out else 0)
        assert (row.submitted_at is not None) or not out
        assert not (self.charges[row.id] and row.state is CallState.QUEUED), "it would be paid for again"
        assert (row.finished_at is not None) == row.settled
        assert row.due_at is None if row.settled else (row.due_at is not None or row.state is CallState.UNKNOWN)
        if row.settled:
            assert "secret" not in str((row.result, row.provider_result))
            assert row.lease_owner is None
        before = self.last.get(row.id)
        if before is not None:
            assert row.epoch >= before.epoch
            if before.settled:
                assert (row.state, row.spent, row.epoch) == (before.state, before.spent, before.epoch)


@pytest.mark.usefixtures("clock")
def test_any_interleaving_keeps_the_guarantees_about_money(tmp_path: Path) -> None:
    CallMachine.template = tmp_path / "template.sqlite3"
    database = opened(CallMachine.template)
    migrate(database)
    database.close()
    run_state_machine_as_test(
        CallMachine,
        settings=settings(
            max_examples=80, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
