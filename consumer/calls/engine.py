"""The engine: one asyncio loop that carries out calls to remote providers, any number of them in flight.

No worker waits for a provider. Any number of engines may run, because every action is under a lease in the ledger.
If an engine is killed, another one continues: tasks are polled again, and a call that was being sent has an unknown
outcome.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from consumer.calls.actions import CallActions
from consumer.calls.claiming import CallClaimer
from consumer.calls.progress import ProgressRecorder
from consumer.calls.provider_pool import ProviderPool
from consumer.calls.spans import CallSpans
from consumer.ledger import call_outcomes
from consumer.ledger.call_claims import ClaimedCall
from consumer.ledger.due import Wake
from consumer.ledger.states import CallState
from consumer.logs import logger
from consumer.runtime import Runtime
from providers.base import RemoteProvider
from providers.registry import open_provider
from schemas.errors import LeaseLost

log = logger(__name__)

#: Nothing is sent if more time than this has passed since the intent was recorded: the process may have been suspended
#: past its lease. The rest of the lease is longer than an exchange with a provider that can be searched.
BEGIN_SECONDS = 600.0
#: Results fetched at once.
FETCHES = 4
#: Threads for the ledger, and for files being fetched or sent.
THREADS = 24
#: How long a shutdown waits for requests that can be repeated: less than a service waits for its loops.
STOP_SECONDS = 15.0

Clock = Callable[[], float]


def boot_time() -> float:
    """Return the seconds since boot, including suspends, which ``time.monotonic`` does not count."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


#: With the wall clock, because only that one is corrected after a virtual machine was paused.
CLOCKS: tuple[Clock, ...] = (boot_time, time.time)


class SuspendAwareTimer:
    """Elapsed time since construction: the maximum over several clocks, so that suspends count."""

    def __init__(self, clocks: Sequence[Clock] = CLOCKS) -> None:
        self._began = [(clock, clock()) for clock in clocks]

    def seconds(self) -> float:
        """Return the elapsed time."""
        return max(clock() - began for clock, began in self._began)


class CallEngine:
    """Claims calls and acts for them until it is stopped."""

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
        self._stopped = threading.Event()
        self._providers = ProviderPool(opener or (lambda name: open_provider(name, runtime.settings, runtime.policy)))
        self._progress = ProgressRecorder(runtime)
        self._spans = CallSpans(runtime.database)
        self._claimer = CallClaimer(runtime, self._providers, self._add_wake)
        self._in_progress: dict[asyncio.Task[None], ClaimedCall] = {}
        #: Tasks that are pending, with the time of the next poll by this process's monotonic clock.
        self._pending: list[tuple[ClaimedCall, float]] = []
        #: Jobs to wake whose calls have ended.
        self._wakes: list[Wake] = []

    def run(self) -> None:
        """Run until ``stop``. Errors are logged and retried."""
        asyncio.run(self._run())

    def stop(self) -> None:
        """Make ``run`` return after the requests in flight."""
        self._stopped.set()

    async def _run(self) -> None:
        settings = self._runtime.settings
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="calls"))
        actions = CallActions(self._runtime, self._providers, asyncio.Semaphore(FETCHES), self._progress)
        try:
            while not self._stopped.is_set():
                since_claim = SuspendAwareTimer(self._clocks)
                claimed = await self._claim(settings.call_concurrency - len(self._in_progress))
                for call in claimed:
                    self._in_progress[asyncio.create_task(self._act(actions, call, since_claim))] = call
                if self._in_progress:
                    done, _ = await asyncio.wait(self._in_progress, timeout=0.05)
                    for task in done:
                        del self._in_progress[task]
                if not claimed:
                    await asyncio.sleep(0.0 if self._pending else settings.call_poll_seconds)
            await self._finish_in_progress()
            await asyncio.to_thread(self._flush)
        finally:
            await self._providers.aclose()

    async def _finish_in_progress(self) -> None:
        """Wait for requests in flight; longer for submissions, whose outcome would be unknown if they were cut off."""
        submitting = [task for task, item in self._in_progress.items() if item.call.state is CallState.SUBMITTING]
        if self._in_progress:
            await asyncio.wait(self._in_progress, timeout=STOP_SECONDS)
        if left := [task for task in submitting if not task.done()]:
            longest = self._runtime.settings.call_stop_seconds - STOP_SECONDS
            log.info("waiting_for_submissions", calls=len(left), seconds=longest)
            await asyncio.wait(left, timeout=max(0.0, longest))

    async def _claim(self, free: int) -> list[ClaimedCall]:
        in_progress = list(self._in_progress.values())

        def flush_and_claim() -> list[ClaimedCall]:
            self._flush()
            self._progress.flush()
            return self._claimer.claim(free, in_progress)

        try:
            return await asyncio.to_thread(flush_and_claim)
        except Exception:
            log.warning("reading_calls_failed", exc_info=True)
            await asyncio.sleep(1.0)
            return []

    async def _act(self, actions: CallActions, claimed: ClaimedCall, since_claim: SuspendAwareTimer) -> None:
        key = claimed.call.id
        try:
            try:
                async with self._spans.of(claimed.call):
                    outcome = await _action(actions, claimed, since_claim)
            except LeaseLost:
                raise
            except Exception as error:
                log.exception("call_action_failed", key=key)
                outcome = await actions.on_unexpected_error(claimed, error)
        except LeaseLost:
            log.warning("call_lease_lost", key=key)
        except Exception:  # another engine claims the call when the lease has expired
            log.exception("call_action_dropped", key=key)
        else:
            if isinstance(outcome, float):
                self._pending.append((claimed, time.monotonic() + outcome))
            else:
                self._add_wake(outcome)

    def _add_wake(self, wake: Wake | None) -> None:
        if wake is not None:
            self._wakes.append(wake)

    def _flush(self) -> None:
        """Record pending tasks, and wake the jobs whose calls have ended."""
        pending, self._pending = self._pending, []
        wakes, self._wakes = self._wakes, []
        try:
            now = time.monotonic()
            polls = [(claimed, max(0.0, at - now)) for claimed, at in pending]
            call_outcomes.record_pending(self._runtime.database, polls)
        except Exception:
            self._pending += pending
            raise
        finally:
            if wakes:
                self._wake(wakes)


def _action(
    actions: CallActions, claimed: ClaimedCall, since_claim: SuspendAwareTimer
) -> Coroutine[Any, Any, Wake | float | None]:
    """Return the action for the state of the claimed call."""
    call = claimed.call
    if call.state is CallState.SUBMITTING:
        return actions.submit(claimed, may_send=lambda: since_claim.seconds() < BEGIN_SECONDS)
    if call.cancel_requested:
        return actions.stop(claimed)
    match call.state:
        case CallState.WORKING:
            return actions.poll(claimed)
        case CallState.FETCHING:
            return actions.fetch(claimed)
        case _:
            return actions.look_up(claimed)
