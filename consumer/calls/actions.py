"""The actions for a claimed call: submit it, poll or look up its task, fetch its result, or cancel it.

queued ──submit──→ working ──poll──→ fetching ──fetch──→ done
            │                 └──→ failed
            └─→ unknown ──look up──→ working | queued
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from consumer.calls import retry_policy
from consumer.calls.fetching import fetch_result, to_call_result
from consumer.calls.progress import ProgressRecorder
from consumer.calls.provider_call import build_call, charged, task_ref, to_call_task, to_provider_result
from consumer.calls.provider_pool import ProviderPool
from consumer.calls.recorder import CallRecorder
from consumer.calls.retry_policy import TaskWatch, as_telecine_error, wait_after
from consumer.calls.routes import candidates_after_refusal, named_candidates
from consumer.failpoints import failpoint
from consumer.ledger import call_outcomes
from consumer.ledger.call_claims import ClaimedCall
from consumer.ledger.due import Wake
from consumer.ledger.states import CallState
from consumer.logs import logger
from consumer.runtime import Runtime
from consumer.storage.scratch import LazyFolder
from providers.base import Call, Failed, Pending, Ready, RemoteProvider, TaskRef
from providers.catalogue import Model
from providers.http.send_guard import check_may_send, send_only_while
from schemas.errors import (
    InputReplaced,
    ProviderError,
    ProviderOutcomeUnknown,
    ProviderTaskLost,
    ProviderTimeout,
    TelecineError,
)

log = logger(__name__)

#: Lease of a claim that is not a submission: longer than any pause of a running process between two renewals.
LEASE_SECONDS = 60.0


class CallActions:
    """Acts for claimed calls. Every action records its outcome and returns the job to wake, if the call has ended."""

    def __init__(
        self, runtime: Runtime, providers: ProviderPool, fetches: asyncio.Semaphore, progress: ProgressRecorder
    ) -> None:
        self._runtime = runtime
        self._providers = providers
        self._fetches = fetches
        self._progress = progress
        self._recorder = CallRecorder(runtime)
        self._watch = TaskWatch()

    async def submit(self, claimed: ClaimedCall, *, may_send: Callable[[], bool]) -> Wake | None:
        """Send a call in state ``submitting``, once. It is queued again only if it was certainly not accepted.

        ``may_send`` returns whether the claim is recent enough for the request to begin.
        """
        call = claimed.call
        failpoint("call.intended")
        with LazyFolder(self._runtime.settings.scratch_folder) as folder:
            try:
                adapter = self._providers.get(call.provider)
                provider_call = build_call(self._runtime, call, folder)
            except Exception as error:  # nothing was sent
                return await self._not_accepted(claimed, as_telecine_error(error))
            try:
                answer = await _send(adapter, provider_call, may_send)
            except ProviderOutcomeUnknown as error:
                await self._outcome_unknown(claimed, error)
                return None
            except TelecineError as error:
                by_provider = isinstance(error, ProviderError) and may_send()
                return await self._not_accepted(claimed, error, by_provider=by_provider)
        failpoint("call.accepted")
        return await self._accepted(claimed, provider_call.model, answer)

    async def poll(self, claimed: ClaimedCall) -> Wake | float | None:
        """Ask for the state of the task. While it is pending, return the seconds until the next poll."""
        call = claimed.call
        try:
            provider_call = build_call(self._runtime, call)
            answer = await self._providers.get(call.provider).poll(provider_call, task_ref(call))
        except Exception as error:
            return await self._poll_failed(claimed, as_telecine_error(error))
        if isinstance(answer, Ready):
            failpoint("call.ready")
            return await self.fetch(await self._ready(claimed, answer))
        if isinstance(answer, Failed):
            return await self._task_failed(claimed, answer)
        self._progress.note(call, answer.progress)
        model = provider_call.model
        if self._watch.is_over(call, claimed.now, model.timeout_seconds, model.poll_seconds):
            return await self._give_up(claimed, answer, model.timeout_seconds)
        return float(max(model.poll_seconds, answer.retry_after_seconds or 0.0))

    async def fetch(self, claimed: ClaimedCall) -> Wake | None:
        """Store the result and settle the call."""
        call = claimed.call
        try:
            async with self._fetches:
                artifact = await asyncio.to_thread(fetch_result, self._runtime, call)
        except Exception as problem:
            error = as_telecine_error(problem)
            if retry_policy.may_fetch_again(call.failures, error):
                await self._recorder.reschedule(claimed, wait_after(claimed, error), error)
                return None
            # With storage full or read-only, another model's result could not be stored either.
            last = retry_policy.is_own_fault(error)
            return await self._failed(claimed, error, spent=charged(call), last=last)
        failpoint("call.fetched")
        result = to_call_result(call, artifact)
        wake = await self._recorder.record(call_outcomes.record_done, claimed, result, spent=charged(call))
        failpoint("call.settled")
        return wake

    async def look_up(self, claimed: ClaimedCall) -> Wake | None:
        """Search the provider for a call that it may have received."""
        call = claimed.call
        try:
            provider_call = build_call(self._runtime, call, now=claimed.now)
            found = await self._providers.get(call.provider).find(provider_call)
        except Exception as problem:
            error = as_telecine_error(problem)
            await self._recorder.reschedule(claimed, wait_after(claimed, error), error)
            return None
        failpoint("call.looked_up")
        if found is None:
            await self._recorder.record(call_outcomes.record_not_found, claimed)
            return None
        await self._record_task(claimed, provider_call.model, found, wait_seconds=0.0)
        return None

    async def stop(self, claimed: ClaimedCall) -> Wake | None:
        """Cancel the call, whose job has ended, and settle it whether or not the provider can cancel the task."""
        call = claimed.call
        spent: int | None = charged(call)
        if call.state is CallState.WORKING:
            spent = await self._cancel(claimed)
        elif call.state is CallState.UNKNOWN:
            if self._providers.can_find(call.provider):
                return await self.look_up(claimed)  # a task that is found is cancelled in the next action
            await self._recorder.record(call_outcomes.abandon, claimed)
            return None
        if spent is None:
            return None
        return await self._recorder.record(call_outcomes.record_cancelled, claimed, spent=spent)

    async def on_unexpected_error(self, claimed: ClaimedCall, error: Exception) -> Wake | None:
        """Handle an unexpected exception of an action: repeat the action later, but never resubmit."""
        if claimed.call.state is CallState.SUBMITTING:
            unknown = ProviderOutcomeUnknown(f"unexpected {type(error).__name__} while sending the call; see the log")
            await self._outcome_unknown(claimed, unknown)
            return None
        problem = as_telecine_error(error)
        await self._recorder.reschedule(claimed, wait_after(claimed, problem), problem)
        return None

    async def _accepted(self, claimed: ClaimedCall, model: Model, answer: TaskRef | Ready) -> Wake | None:
        if isinstance(answer, Ready):
            return await self.fetch(await self._ready(claimed, answer))
        await self._record_task(claimed, model, answer, wait_seconds=model.first_wait_seconds)
        failpoint("call.recorded")
        return None

    async def _not_accepted(
        self, claimed: ClaimedCall, error: TelecineError, *, by_provider: bool = False
    ) -> Wake | None:
        """Submit again later, or fail with the next candidate: the provider certainly did not accept the call."""
        call = claimed.call
        if by_provider:
            await self._recorder.provider_failed(call.provider, error)
        if retry_policy.may_resubmit(claimed, error, self._runtime.settings.max_failures):
            await self._recorder.reschedule(claimed, wait_after(claimed, error), error)
            return None
        # If an input was replaced, another model would be given the wrong content too.
        replaced = isinstance(error, InputReplaced)
        rest = () if replaced else candidates_after_refusal(self._runtime, self._providers, call)
        return await self._recorder.record(call_outcomes.record_failed, claimed, error, spent=0, rest=rest)

    async def _outcome_unknown(self, claimed: ClaimedCall, error: ProviderOutcomeUnknown) -> None:
        provider = claimed.call.provider
        await self._recorder.provider_failed(provider, error)
        look_up = self._providers.can_find(provider)
        await self._recorder.record(call_outcomes.record_unknown, claimed, error, look_up=look_up)

    async def _record_task(self, claimed: ClaimedCall, model: Model, task: TaskRef, *, wait_seconds: float) -> None:
        await self._recorder.record(
            call_outcomes.record_accepted,
            claimed,
            to_call_task(task),
            wait_seconds=wait_seconds,
            give_up=model.timeout_seconds,
        )

    async def _ready(self, claimed: ClaimedCall, answer: Ready) -> ClaimedCall:
        result = to_provider_result(answer)
        return await self._recorder.record(call_outcomes.record_ready, claimed, result, lease_seconds=LEASE_SECONDS)

    async def _failed(
        self, claimed: ClaimedCall, error: TelecineError, *, spent: int, last: bool = False
    ) -> Wake | None:
        """Fail a call that the provider has accepted."""
        rest = () if last else await asyncio.to_thread(named_candidates, self._runtime, claimed.call)
        return await self._recorder.record(call_outcomes.record_failed, claimed, error, spent=spent, rest=rest)

    async def _task_failed(self, claimed: ClaimedCall, answer: Failed) -> Wake | None:
        task = claimed.call.task
        if isinstance(answer.error, ProviderTaskLost) and task is not None and task.adopted:
            await self._recorder.record(call_outcomes.record_adoption_failed, claimed, answer.error)
            return None
        spent = charged(claimed.call) if answer.charged else 0
        return await self._failed(claimed, answer.error, spent=spent)

    async def _poll_failed(self, claimed: ClaimedCall, error: TelecineError) -> Wake | None:
        call = claimed.call
        limit = (call.give_up_at or 0.0) - (call.submitted_at or 0.0)
        overdue = call.give_up_at is not None and self._watch.is_over(call, claimed.now, limit)
        if not retry_policy.may_poll_again(call.failures, error, self._runtime.settings.max_failures, overdue=overdue):
            return await self._failed(claimed, error, spent=charged(call))
        await self._recorder.reschedule(claimed, wait_after(claimed, error), error)
        return None

    async def _give_up(self, claimed: ClaimedCall, answer: Pending, seconds: float) -> Wake | None:
        """Cancel a task that exceeded its model's time limit, and fail the call."""
        call = claimed.call
        if (spent := await self._cancel(claimed)) is None:
            return None
        status = f"; its last status was {answer.status}" if answer.status else ""
        error = ProviderTimeout(
            f"{call.provider} did not finish within {seconds:.0f} s (model {call.model}{status}); "
            "raise the model's timeout_seconds or send the request again"
        )
        return await self._failed(claimed, error, spent=spent)

    async def _cancel(self, claimed: ClaimedCall) -> int | None:
        """Cancel the task and return its final cost, or ``None`` if cancelling was rescheduled."""
        call = claimed.call
        try:
            adapter = self._providers.get(call.provider)
            free = await adapter.cancel(build_call(self._runtime, call), task_ref(call))
            return 0 if free else charged(call)
        except Exception as error:
            log.warning("cancel_failed", key=call.id, provider=call.provider, reason=type(error).__name__)
            if isinstance(error, ProviderError) and retry_policy.may_cancel_again(call.failures, error):
                await self._recorder.reschedule(claimed, wait_after(claimed, error), error)
                return None
            return charged(call)


async def _send(adapter: RemoteProvider, call: Call, may_send: Callable[[], bool]) -> TaskRef | Ready:
    """Submit the call through its adapter.

    Raises:
        ProviderOutcomeUnknown: The provider may have accepted the call, or the adapter failed unexpectedly.
        TelecineError: The provider certainly did not accept it.
    """
    try:
        with send_only_while(may_send):
            check_may_send()  # for an adapter that does not send through Exchange
            return await adapter.submit(call)
    except TelecineError:
        raise
    except Exception as error:
        log.exception("submission_failed", key=call.key, provider=call.model.provider)
        raise ProviderOutcomeUnknown(f"the adapter raised {type(error).__name__} while sending the call") from error
