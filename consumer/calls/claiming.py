"""What an engine does at the ledger between actions: renew leases, recover what was lost, and claim calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from consumer.calls.actions import LEASE_SECONDS
from consumer.calls.provider_call import price_of
from consumer.calls.provider_pool import ProviderPool
from consumer.calls.routes import candidates_after_refusal, candidates_within_budget
from consumer.ledger import call_claims, call_outcomes
from consumer.ledger.call_claims import ClaimedCall, RefusalReason, RefusedCall, SubmissionPolicy
from consumer.ledger.due import Wake
from consumer.ledger.owner import this_process
from consumer.ledger.pauses import PauseKind, list_pauses
from consumer.ledger.states import CallState
from consumer.logs import logger
from consumer.runtime import Runtime
from schemas.errors import BudgetExceeded, LeaseLost, ProviderUnavailable, TelecineError

log = logger(__name__)

#: Lease of a submission: longer than the slowest one, so that its request has ended before the call is looked up.
SUBMIT_LEASE_SECONDS = 900.0
#: How often leases of calls in progress are renewed.
RENEW_SECONDS = LEASE_SECONDS / 4
#: How often lost submissions and dead claims are searched for.
RECOVERY_SECONDS = 1.0


class CallClaimer:
    """Claims calls for one engine. Blocks: call it in a thread, one call at a time."""

    def __init__(self, runtime: Runtime, providers: ProviderPool, on_wake: Callable[[Wake | None], None]) -> None:
        self._runtime = runtime
        self._providers = providers
        self._on_wake = on_wake
        self._recover_at = self._renew_at = 0.0
        #: Owner ids of claim transactions whose commit was not confirmed.
        self._unconfirmed_claims: list[str] = []
        self._claim_counter = 0
        settings = runtime.settings
        self._policy = SubmissionPolicy(
            limits=settings.limits_of,
            budgets=settings.budgets,
            price=lambda row: price_of(runtime, row),
            tenants=bool(settings.tenants),
            has_other=lambda row: bool(candidates_after_refusal(runtime, providers, row)),
        )

    def claim(self, free: int, in_progress: Collection[ClaimedCall]) -> list[ClaimedCall]:
        """Claim up to ``free`` calls, after renewing the leases of those ``in_progress``."""
        database = self._runtime.database
        self._renew_leases(in_progress)
        if time.monotonic() >= self._recover_at:
            self._recover({claimed.call.id for claimed in in_progress})
            self._recover_at = time.monotonic() + RECOVERY_SECONDS
        if free <= 0:
            return []
        due = call_claims.claim_due(database, owner=this_process(), lease_seconds=LEASE_SECONDS, most=free)
        return due + self._claim_queued(free - len(due))

    def _renew_leases(self, in_progress: Collection[ClaimedCall]) -> None:
        if time.monotonic() < self._renew_at:
            return
        for seconds, submitting in ((SUBMIT_LEASE_SECONDS, True), (LEASE_SECONDS, False)):
            claims = [item for item in in_progress if (item.call.state is CallState.SUBMITTING) is submitting]
            call_claims.renew(self._runtime.database, claims, lease_seconds=seconds)
        self._renew_at = time.monotonic() + RENEW_SECONDS

    def _recover(self, in_progress: Collection[str]) -> None:
        """Record lost submissions and release the claims of dead processes."""
        database = self._runtime.database
        for row in call_claims.lost_submissions(database):
            # After the machine was suspended, leases of this engine have expired too, but its calls are not lost.
            if row.id not in in_progress:
                call_outcomes.record_lost(database, row, look_up=self._providers.can_find(row.provider))
        call_claims.release_dead_claims(database)

    def _claim_queued(self, most: int) -> list[ClaimedCall]:
        """Claim the calls to submit now. Never raises, because the calls claimed before would be dropped."""
        claimed: list[ClaimedCall] = []
        try:
            self._release_unconfirmed()
            # Each transaction has its own owner id, so that the claims of an unconfirmed commit can be found.
            self._claim_counter += 1
            owner = f"{this_process()}.{self._claim_counter}"
            self._unconfirmed_claims.append(owner)
            claimed, refused = call_claims.claim_queued(
                self._runtime.database, self._policy, owner=owner, lease_seconds=SUBMIT_LEASE_SECONDS, most=most
            )
            self._unconfirmed_claims.remove(owner)
            for call in refused:
                self._fail_refused(call)
        except Exception:
            log.warning("claiming_calls_failed", exc_info=True)
        return claimed

    def _release_unconfirmed(self) -> None:
        """Queue the calls of claim transactions whose connection failed at the commit: none of them was sent."""
        for owner in list(self._unconfirmed_claims):
            for claimed in call_claims.claimed_but_unconfirmed(self._runtime.database, owner):
                call_outcomes.reschedule(self._runtime.database, claimed, 0.0)
            self._unconfirmed_claims.remove(owner)

    def _fail_refused(self, refused: RefusedCall) -> None:
        try:
            error, claimed = self._refusal_error(refused), refused.claimed
            over_budget = refused.reason is RefusalReason.BUDGET
            rest_of = candidates_within_budget if over_budget else candidates_after_refusal
            paused = {pause.name for pause in list_pauses(self._runtime.database) if pause.kind is PauseKind.PROVIDER}
            rest = rest_of(self._runtime, self._providers, claimed.call)
            rest = sorted(rest, key=lambda candidate: candidate.provider in paused)
            self._on_wake(call_outcomes.record_failed(self._runtime.database, claimed, error, spent=0, rest=rest))
        except LeaseLost:
            log.warning("call_lease_lost", key=refused.claimed.call.id)

    def _refusal_error(self, refused: RefusedCall) -> TelecineError:
        call = refused.claimed.call
        if refused.reason is RefusalReason.BREAKER:
            return ProviderUnavailable(f"{call.provider} is unavailable: its circuit breaker is open")
        own_budget = call.tenant and not self._policy.is_shared(call.tenant)
        whose = f"tenant {call.tenant}" if own_budget else "this worker"
        return BudgetExceeded(f"{call.model} would exceed the budget of {whose}; raise it or wait for the next period")
