"""The engine: one asyncio loop that carries out calls of remote providers, however many are in flight.

No worker waits for a provider. Any number of engines may run: every turn is leased in the ledger. What one
had in hand when it was killed is found by another: what was under way is asked for again, what was being sent
is an unknown outcome.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from consumer.calls.actions import LEASE_SECONDS, CallActions
from consumer.calls.assembly import price_of
from consumer.calls.provider_pool import ProviderPool
from consumer.calls.suspend_aware_timer import CLOCKS, Clock, SuspendAwareTimer
from consumer.ledger import call_claims, call_outcomes
from consumer.ledger.call_claims import ClaimedCall, Policies
from consumer.ledger.due import Wake
from consumer.ledger.owner import this_process
from consumer.ledger.states import CallState
from consumer.logs import logger
from consumer.runtime import Runtime
from providers.base import RemoteProvider
from providers.registry import open_provider
from schemas.errors import BudgetExceeded, LeaseLost, ProviderUnavailable

log = logger(__name__)

#: Longer than the slowest submission, so that whoever lost a turn cannot send any more once it is looked up.
SUBMIT_LEASE_SECONDS = 900.0
#: A submission begins within so many seconds of its intent or not at all: what is left of the lease is longer than an
#: exchange with a vendor that can be searched. So a process that slept and lost its turn sends nothing after another.
BEGIN_SECONDS = 600.0
#: How often the turns that are acted for are renewed.
RENEW_SECONDS = LEASE_SECONDS / 4
#: How often what was lost is looked for.
CHORES_SECONDS = 1.0
#: Results fetched at once.
FETCHES = 4
#: Threads for the ledger, and for the files that are fetched or sent meanwhile.
THREADS = 24
#: How long a stop waits for answers that can be asked for again: less than a service waits for its loops.
STOP_SECONDS = 15.0


class CallEngine:
    """Runs until it is stopped."""

    def __init__(
        self,
        runtime: Runtime,
        wake: Callable[[Sequence[Wake]], object],
        *,
        opener: Callable[[str], RemoteProvider] | None = None,
        clocks: Sequence[Clock] = CLOCKS,
    ) -> None:
        self._runtime = runtime
        self._clocks = clocks
        self._wake = wake
        self._opener = opener or (lambda name: open_provider(name, runtime.settings, runtime.policy))
        self._stopped = threading.Event()
        #: What goes on, and when it is asked for again, by this process's clock.
        self._pending: list[tuple[ClaimedCall, float]] = []
        self._acting: dict[asyncio.Task[None], ClaimedCall] = {}
        self._woken: list[Wake] = []
        self._chores_at = self._renew_at = 0.0
        #: The owners of takings whose end nobody heard.
        self._unconfirmed_claims: list[str] = []
        self._claim_counter = 0
        settings = runtime.settings
        self._policies = Policies(
            limits=settings.limits_of,
            budgets=settings.budgets,
            price=lambda row: price_of(runtime, row),
            tenants=bool(settings.tenants),
        )

    def run(self) -> None:
        """Acts for calls until ``stop``; whatever fails is logged and tried again."""
        asyncio.run(self._run())

    def stop(self) -> None:
        """Makes ``run`` return when the exchanges that are going on have ended."""
        self._stopped.set()

    async def _run(self) -> None:
        settings = self._runtime.settings
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="calls"))
        providers = ProviderPool(self._opener)
        turns = CallActions(self._runtime, providers, asyncio.Semaphore(FETCHES))
        try:
            while not self._stopped.is_set():
                since = SuspendAwareTimer(self._clocks)
                taken = await self._look(providers, settings.call_concurrency - len(self._acting))
                self._acting |= {asyncio.create_task(self._act(turns, turn, since)): turn for turn in taken}
                if self._acting:
                    done, _ = await asyncio.wait(self._acting, timeout=0.05)
                    for task in done:
                        del self._acting[task]
                if not taken:
                    await asyncio.sleep(0.0 if self._pending else settings.call_poll_seconds)
            await self._answers()
            await asyncio.to_thread(self._flush)
        finally:
            await providers.aclose()

    async def _answers(self) -> None:
        """Waits for the exchanges that go on; longer for submissions, since nobody knows what is cut off."""
        sending = [task for task, turn in self._acting.items() if turn.call.state is CallState.SUBMITTING]
        if self._acting:
            await asyncio.wait(self._acting, timeout=STOP_SECONDS)
        if left := [task for task in sending if not task.done()]:
            longest = self._runtime.settings.call_stop_seconds - STOP_SECONDS
            log.info("submissions_go_on", calls=len(left), seconds=longest)
            await asyncio.wait(left, timeout=max(0.0, longest))

    async def _look(self, providers: ProviderPool, free: int) -> list[ClaimedCall]:
        try:
            return await asyncio.to_thread(self._claim, providers, free)
        except Exception:
            log.warning("engine_cannot_read", exc_info=True)
            await asyncio.sleep(1.0)
            return []

    def _claim(self, providers: ProviderPool, free: int) -> list[ClaimedCall]:
        self._flush()
        database, owner = self._runtime.database, this_process()
        self._renew()
        if time.monotonic() >= self._chores_at:
            # After a sleep of the machine our own leases have run out: what is being sent is not lost for that.
            ours = {turn.call.id for turn in self._acting.values()}
            for row in call_claims.lost_submissions(database):
                if row.id not in ours:
                    call_outcomes.record_lost(database, row, look_up=providers.can_find(row.provider))
            call_claims.release_dead_claims(database)
            self._chores_at = time.monotonic() + CHORES_SECONDS
        if free <= 0:
            return []
        due = call_claims.claim_due(database, owner=owner, lease_seconds=LEASE_SECONDS, most=free)
        return due + self._claim_queued(free - len(due))

    def _claim_queued(self, most: int) -> list[ClaimedCall]:
        """The calls that go out now. Never raises: what was taken before must not be dropped."""
        database, go = self._runtime.database, list[ClaimedCall]()
        try:
            self._release_unconfirmed()
            # Each time another owner: so that what was taken without our hearing of it is known later.
            self._claim_counter += 1
            owner = f"{this_process()}.{self._claim_counter}"
            self._unconfirmed_claims.append(owner)
            go, no = call_claims.claim_queued(
                database, self._policies, owner=owner, lease_seconds=SUBMIT_LEASE_SECONDS, most=most
            )
            self._unconfirmed_claims.remove(owner)
            for turn, reason in no:
                self._refuse(turn, reason)
        except Exception:
            log.warning("engine_cannot_submit", exc_info=True)
        return go

    def _release_unconfirmed(self) -> None:
        """The connection on_unexpected_error when calls were taken: the ledger may have them as being sent, but none of them was."""
        for owner in list(self._unconfirmed_claims):
            for turn in call_claims.claimed_but_unconfirmed(self._runtime.database, owner):
                call_outcomes.reschedule(self._runtime.database, turn, 0.0)
            self._unconfirmed_claims.remove(owner)

    def _renew(self) -> None:
        if time.monotonic() < self._renew_at:
            return
        turns = list(self._acting.values())
        for seconds, sending in ((SUBMIT_LEASE_SECONDS, True), (LEASE_SECONDS, False)):
            ours = [turn for turn in turns if (turn.call.state is CallState.SUBMITTING) is sending]
            call_claims.renew(self._runtime.database, ours, lease_seconds=seconds)
        self._renew_at = time.monotonic() + RENEW_SECONDS

    def _refuse(self, turn: ClaimedCall, reason: str) -> None:
        call = turn.call
        named = call.tenant and not self._policies.is_shared(call.tenant)
        error = (
            BudgetExceeded(
                f"{call.model} would exceed the budget of {f'tenant {call.tenant}' if named else 'this worker'}; "
                "raise it or wait for the next period"
            )
            if reason == "budget"
            else ProviderUnavailable(f"{call.provider} does not answer just now: its circuit breaker is open")
        )
        try:
            self._remember(call_outcomes.record_failed(self._runtime.database, turn, error, spent=0))
        except LeaseLost:
            log.warning("turn_lost", key=call.id)

    async def _act(self, turns: CallActions, turn: ClaimedCall, since: SuspendAwareTimer) -> None:
        try:
            try:
                outcome = await _chosen(turns, turn, since)
            except LeaseLost:
                raise
            except Exception as error:
                log.exception("turn_broke", key=turn.call.id)
                outcome = await turns.on_unexpected_error(turn, error)
        except LeaseLost:
            log.warning("turn_lost", key=turn.call.id)
            return
        except Exception:  # another engine finds it when the lease has run out
            log.exception("turn_dropped", key=turn.call.id)
            return
        if isinstance(outcome, float):
            self._pending.append((turn, time.monotonic() + outcome))
        else:
            self._remember(outcome)

    def _remember(self, wake: Wake | None) -> None:
        if wake is not None:
            self._woken.append(wake)

    def _flush(self) -> None:
        """Writes down what goes on, and wakes the jobs whose calls have ended."""
        pending, self._pending = self._pending, []
        woken, self._woken = self._woken, []
        try:
            now = time.monotonic()
            call_outcomes.record_pending(self._runtime.database, [(turn, max(0.0, at - now)) for turn, at in pending])
        except Exception:
            self._pending += pending
            raise
        finally:
            if woken:
                self._wake(woken)


def _chosen(turns: CallActions, turn: ClaimedCall, since: SuspendAwareTimer) -> Any:
    call = turn.call
    if call.state is CallState.SUBMITTING:
        return turns.submit(turn, may_send=lambda: since.seconds() < BEGIN_SECONDS)
    if call.cancel_requested:
        return turns.stop(turn)
    if call.state is CallState.FETCHING:
        return turns.fetch(turn)
    return turns.poll(turn) if call.state is CallState.WORKING else turns.look_up(turn)
