"""What is done for a call when its turn comes: send it, ask for it, look it up, fetch its result, or stop it.

queued ──submit──→ working ──poll──→ fetching ──fetch──→ done
            │                 └──→ failed
            └─→ unknown ──find──→ working | queued
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

from consumer.calls.answers import as_record, as_task, price_told, task_of
from consumer.calls.assembly import build_call
from consumer.calls.fetching import as_result, fetch_result, is_ours, tries_for
from consumer.calls.provider_pool import ProviderPool
from consumer.failpoints import failpoint
from consumer.ledger import accounts, call_outcomes
from consumer.ledger.call_claims import ClaimedCall
from consumer.ledger.due import Wake
from consumer.ledger.states import CallState
from consumer.logs import logger
from consumer.runtime import Runtime
from consumer.storage.scratch import job_folder
from providers.base import Failed, Pending, Ready
from providers.http.sending import check_may_send, sending_while
from schemas.errors import (
    InputReplaced,
    InternalError,
    ProviderError,
    ProviderOutcomeUnknown,
    ProviderRefused,
    ProviderTaskLost,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    TelecineError,
    Verdict,
)

log = logger(__name__)

#: How long a turn is kept without a sign of life: longer than any pause of a process between two of them.
LEASE_SECONDS = 60.0
#: How long a call is put off because its vendor asks to slow down.
QUEUE_SECONDS = 86_400.0
#: A task that nobody needs is stopped within minutes, or runs on: that it can be heard is no reason to wait longer.
CANCEL_TRIES = 8
_MOST_WAIT_SECONDS = 300.0
#: What a provider says of a task that it will say again. Of all else the operator may repair something.
_FINAL = (ProviderRefused, ProviderTaskLost)

T = TypeVar("T")


class CallActions:
    """Acts for calls. Each method is one turn and leaves the call with a receipt, whatever happens."""

    def __init__(self, runtime: Runtime, providers: ProviderPool, fetches: asyncio.Semaphore) -> None:
        self._runtime = runtime
        self._vendors = providers
        self._fetches = fetches

    async def submit(self, turn: ClaimedCall, *, may_send: Callable[[], bool]) -> Wake | None:
        """Sends the call, in its state ``submitting``: once, and never again unless it certainly did not arrive.

        ``may_send`` says whether the turn is still young enough for the request to begin.
        """
        call = turn.call
        failpoint("call.intended")
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(job_folder(self._runtime.settings.scratch_folder))
                adapter = self._vendors.get(call.provider)
                provider_call = build_call(self._runtime, call, folder)
            except Exception as error:  # nothing was sent
                return await self._not_sent(turn, _as_telecine_error(error))
            try:
                with sending_while(may_send):
                    check_may_send()  # an adapter that has its own way of sending asks no more
                    answer = await adapter.submit(provider_call)
            except ProviderOutcomeUnknown as error:
                return await self._unknown(turn, error)
            except TelecineError as error:
                theirs = isinstance(error, ProviderError) and may_send()
                return await self._not_sent(turn, error, by_provider=theirs)
            except Exception as error:
                log.exception("submit_broke", key=call.id, provider=call.provider)
                return await self._unknown(turn, ProviderOutcomeUnknown(f"the adapter broke: {type(error).__name__}"))
        failpoint("call.accepted")
        if isinstance(answer, Ready):
            ready = await self._ready(turn, answer)
            await self._record_answer(call.provider)
            return await self.fetch(ready)
        model = provider_call.model
        await self._record(
            call_outcomes.record_accepted, turn, as_task(answer),
            wait_seconds=model.first_wait_seconds, give_up=model.timeout_seconds,
        )  # fmt: skip
        failpoint("call.recorded")
        await self._record_answer(call.provider)
        return None

    async def poll(self, turn: ClaimedCall) -> Wake | float | None:
        """Asks how the task stands; answers the seconds after which to ask again, while it goes on."""
        call, model = turn.call, None
        try:
            provider_call = build_call(self._runtime, call)
            model = provider_call.model
            answer = await self._vendors.get(call.provider).poll(provider_call, task_of(turn))
        except Exception as error:
            return await self._poll_failed(turn, _as_telecine_error(error))
        if isinstance(answer, Ready):
            failpoint("call.ready")
            return await self.fetch(await self._ready(turn, answer))
        if isinstance(answer, Failed):
            if isinstance(answer.error, ProviderTaskLost) and (call.task or {}).get("adopted"):
                await self._record(call_outcomes.record_adoption_failed, turn, answer.error)
                return None
            spent = price_told(turn) if answer.charged else 0
            return await self._record(call_outcomes.record_failed, turn, answer.error, spent=spent)
        if call.give_up_at is not None and turn.now >= call.give_up_at:
            return await self._give_up(turn, answer)
        return float(max(model.poll_seconds, answer.retry_after_seconds or 0.0))

    async def fetch(self, turn: ClaimedCall) -> Wake | None:
        """Puts the result into storage and settles the call."""
        call = turn.call
        try:
            async with self._fetches:
                artifact = await asyncio.to_thread(fetch_result, self._runtime, call)
        except Exception as problem:
            error = _as_telecine_error(problem)
            if call.failures + 1 < tries_for(error):
                return await self._reschedule(turn, _backoff(call.failures), error)
            # Storage that is full or closed is no fault of the model's: another one would be paid for nothing.
            return await self._record(
                call_outcomes.record_failed, turn, error, spent=price_told(turn), last=is_ours(error)
            )
        failpoint("call.fetched")
        settled = await self._record(call_outcomes.record_done, turn, as_result(call, artifact), spent=price_told(turn))
        failpoint("call.settled")
        return settled

    async def look_up(self, turn: ClaimedCall) -> Wake | None:
        """Asks the provider for a call that it may have got."""
        call = turn.call
        try:
            provider_call = build_call(self._runtime, call, now=turn.now)
            found = await self._vendors.get(call.provider).find(provider_call)
        except Exception as error:
            return await self._reschedule(turn, _backoff(call.failures), _as_telecine_error(error))
        failpoint("call.looked_up")
        if found is None:
            await self._record(call_outcomes.record_not_found, turn)
            return None
        model = provider_call.model
        await self._record(
            call_outcomes.record_accepted, turn, as_task(found),
            wait_seconds=0.0, give_up=model.timeout_seconds,
        )  # fmt: skip
        return None

    async def stop(self, turn: ClaimedCall) -> Wake | None:
        """The job has ended: the provider is asked to stop, and the call is settled either way."""
        call = turn.call
        spent: int | None = price_told(turn)
        if call.state is CallState.WORKING:
            spent = await self._cancel(turn)
        elif call.state is CallState.UNKNOWN:
            if self._vendors.can_find(call.provider):  # what is found there is stopped next
                return await self.look_up(turn)
            # Nobody waits for it any more; that it may have been paid for stays visible.
            await self._record(call_outcomes.abandon, turn)
            return None
        return None if spent is None else await self._record(call_outcomes.record_cancelled, turn, spent=spent)

    async def on_unexpected_error(self, turn: ClaimedCall, error: Exception) -> Wake | None:
        """What nobody has foreseen went wrong: the call is asked for again, and is never sent again unasked."""
        if turn.call.state is CallState.SUBMITTING:
            return await self._unknown(turn, ProviderOutcomeUnknown(f"the engine broke: {type(error).__name__}"))
        return await self._reschedule(turn, _backoff(turn.call.failures), _as_telecine_error(error))

    async def _ready(self, turn: ClaimedCall, answer: Ready) -> ClaimedCall:
        return await self._record(call_outcomes.record_ready, turn, as_record(answer), lease_seconds=LEASE_SECONDS)

    async def _give_up(self, turn: ClaimedCall, seen: Pending) -> Wake | None:
        if (spent := await self._cancel(turn)) is None:
            return None
        seconds = (turn.call.give_up_at or 0.0) - (turn.call.submitted_at or 0.0)
        error = ProviderTimeout(
            f"{turn.call.provider} did not finish {turn.call.model} within {seconds:.0f} s"
            f"{f' (last status: {seen.status})' if seen.status else ''}"
        )
        return await self._record(call_outcomes.record_failed, turn, error, spent=spent)

    async def _cancel(self, turn: ClaimedCall) -> int | None:
        """What the task costs that the provider was asked to stop. ``None``: it did not hear it, and is asked again."""
        call = turn.call
        try:
            vendor = self._vendors.get(call.provider)
            return 0 if await vendor.cancel(build_call(self._runtime, call), task_of(turn)) else price_told(turn)
        except Exception as error:
            log.warning("cancel_failed", key=call.id, provider=call.provider, reason=type(error).__name__)
            if isinstance(error, ProviderError) and error.verdict is Verdict.LATER and call.failures + 1 < CANCEL_TRIES:
                await self._reschedule(turn, _backoff_or_retry_after(call.failures, error), error)
                return None
            return price_told(turn)

    async def _poll_failed(self, turn: ClaimedCall, error: TelecineError) -> Wake | None:
        call = turn.call
        # After a night without an engine the task is long done: one question that fails must not give it up.
        over = call.failures + 1 >= self._runtime.settings.max_failures
        over = over and call.give_up_at is not None and turn.now >= call.give_up_at
        if over or isinstance(error, _FINAL):
            return await self._record(call_outcomes.record_failed, turn, error, spent=price_told(turn))
        return await self._reschedule(turn, _backoff_or_retry_after(call.failures, error), error)

    async def _not_sent(self, turn: ClaimedCall, error: TelecineError, *, by_provider: bool = False) -> Wake | None:
        """The provider certainly did not accept the call: put off, or the next candidate's turn."""
        call = turn.call
        if by_provider:
            await self._retry_until_ledger_up(self._update_breaker, call.provider, error)
        passes = error.verdict in (Verdict.LATER, Verdict.ELSEWHERE)
        tries = self._runtime.settings.max_failures
        # Of many calls that a vendor takes one by one each is told to wait, again and again: that is no fault.
        waits = isinstance(error, RateLimited) and turn.now - call.queued_at < QUEUE_SECONDS
        if passes and (waits or call.failures + 1 < tries):
            return await self._reschedule(turn, _backoff_or_retry_after(call.failures, error), error)
        # Another model would be given what nobody has asked for.
        return await self._record(
            call_outcomes.record_failed, turn, error, spent=0, last=isinstance(error, InputReplaced)
        )

    async def _unknown(self, turn: ClaimedCall, error: ProviderOutcomeUnknown) -> Wake | None:
        await self._retry_until_ledger_up(self._update_breaker, turn.call.provider, error)
        look_up = self._vendors.can_find(turn.call.provider)
        await self._record(call_outcomes.record_unknown, turn, error, look_up=look_up)
        return None

    def _update_breaker(self, provider: str, error: TelecineError) -> None:
        limits = self._runtime.settings.limits_of(provider)
        with self._runtime.database.write() as connection:
            if isinstance(error, RateLimited):
                accounts.pause(connection, provider, error.retry_after_seconds or 5.0, error.message)
            elif isinstance(error, ProviderUnavailable | ProviderOutcomeUnknown):
                accounts.record_failure(connection, provider, limits, error.message)
            else:
                accounts.record_answer(connection, provider)

    async def _reschedule(self, turn: ClaimedCall, seconds: float, error: TelecineError) -> Wake | None:
        await self._record(call_outcomes.reschedule, turn, seconds, error)
        return None

    async def _record_answer(self, provider: str) -> None:
        def write() -> None:
            with self._runtime.database.write() as connection:
                accounts.record_answer(connection, provider)

        await self._retry_until_ledger_up(write)

    async def _record(self, receipt: Callable[..., T], turn: ClaimedCall, *arguments: Any, **named: Any) -> T:
        """Writes the receipt of this turn.

        Raises:
            LeaseLost: somebody else acts for the call.
        """
        return await self._retry_until_ledger_up(receipt, self._runtime.database, turn, *arguments, **named)

    async def _retry_until_ledger_up(self, write: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Does the write. While the ledger is away, what is to be written is kept here until it is back."""
        wait = 0.2
        while True:
            try:
                return await asyncio.to_thread(write, *arguments, **named)
            except Exception as error:
                if not call_outcomes.may_pass(error):
                    raise
                log.warning("receipt_waits", reason=type(error).__name__)
                await asyncio.sleep(wait)
                wait = min(wait * 2, 5.0)


def _backoff(failures: int) -> float:
    return min(_MOST_WAIT_SECONDS, 2.0 ** min(failures, 10))


def _backoff_or_retry_after(failures: int, error: Exception) -> float:
    """As long as ever, or as the provider asks for."""
    return max(_backoff(failures), getattr(error, "retry_after_seconds", None) or 0.0)


def _as_telecine_error(error: Exception) -> TelecineError:
    if isinstance(error, TelecineError):
        return error
    log.error("adapter_broke", exc_info=error)
    return InternalError(f"the adapter broke: {type(error).__name__}")
