"""Writes to the ledger that must not be lost: they are retried while the ledger is unavailable.

What ends while a transaction is being committed is written in the next one, together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from consumer import tracing
from consumer.ledger import accounts, call_outcomes
from consumer.ledger.call_claims import ClaimedCall
from consumer.ledger.call_records import CallRow, lock_order
from consumer.ledger.database import Database, is_ledger_fault
from consumer.ledger.together import write_together
from consumer.logs import logger
from consumer.runtime import Runtime
from schemas.backoff import backoff
from schemas.errors import ProviderOutcomeUnknown, ProviderUnavailable, RateLimited, TelecineError

log = logger(__name__)

_FIRST_WAIT_SECONDS = 0.2
_MAX_WAIT_SECONDS = 5.0
#: Pause after "too many requests" without ``Retry-After``.
_PAUSE_SECONDS = 5.0
#: Outcomes in one transaction: it locks the rows of their jobs and calls.
_TOGETHER = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A write that waits for a transaction."""

    call: CallRow
    write: Callable[[Database], Any]
    written: asyncio.Future[Any]


class CallRecorder:
    """Records outcomes of calls, and the state of providers' circuit breakers. For one event loop."""

    def __init__(self, runtime: Runtime) -> None:
        self._database = runtime.database
        self._limits_of = runtime.settings.limits_of
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def record(self, outcome: Callable[..., T], claimed: ClaimedCall, *arguments: Any, **named: Any) -> T:
        """Call ``outcome``, a function of ``call_outcomes``, for the claimed call.

        Raises:
            LeaseLost: Another engine or an operator has acted for the call.
        """
        for argument in arguments:
            if isinstance(argument, TelecineError):
                tracing.fail(argument)

        def write(database: Database) -> T:
            return outcome(database, claimed, *arguments, **named)

        try:
            return await self._write_with_others(claimed.call, write)
        except Exception as error:
            if not is_ledger_fault(error):
                raise
            _warn(error)
        return await self._retry_until_ledger_up(write, self._database)

    async def reschedule(self, claimed: ClaimedCall, seconds: float, error: TelecineError) -> None:
        """Repeat the action after ``seconds``, because of ``error``."""
        await self.record(call_outcomes.reschedule, claimed, seconds, error)

    async def provider_failed(self, provider: str, error: TelecineError) -> None:
        """Pause the provider, count a failure for its circuit breaker or close it, depending on ``error``."""
        await self._retry_until_ledger_up(self._write_failure, provider, error)

    def _write_failure(self, provider: str, error: TelecineError) -> None:
        with self._database.write() as connection:
            if isinstance(error, RateLimited):
                seconds = error.retry_after_seconds or _PAUSE_SECONDS
                accounts.pause(connection, provider, seconds, error.message)
            elif isinstance(error, ProviderUnavailable | ProviderOutcomeUnknown):
                accounts.record_failure(connection, provider, self._limits_of(provider), error.message)
            else:
                accounts.record_answer(connection, provider)

    async def _write_with_others(self, call: CallRow, write: Callable[[Database], T]) -> T:
        written: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(call, write, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())
        return await written

    async def _write_waiting(self) -> None:
        """Write what waits until nothing does."""
        while self._waiting:
            some = sorted(self._waiting[:_TOGETHER], key=lambda item: lock_order(item.call))
            del self._waiting[:_TOGETHER]
            try:
                writes = [item.write for item in some]
                results = await asyncio.to_thread(write_together, self._database, writes)
            except Exception as error:
                results = [error] * len(some)
            for item, result in zip(some, results, strict=True):
                if item.written.done():  # its action was cancelled
                    continue
                if isinstance(result, Exception):
                    item.written.set_exception(result)
                else:
                    item.written.set_result(result)

    async def _retry_until_ledger_up(self, write: Callable[..., T], *arguments: Any) -> T:
        failures = 0
        while True:
            try:
                return await asyncio.to_thread(write, *arguments)
            except Exception as error:
                if not is_ledger_fault(error):
                    raise
                _warn(error)
                await asyncio.sleep(backoff(failures, _FIRST_WAIT_SECONDS, _MAX_WAIT_SECONDS))
                failures += 1


def _warn(error: Exception) -> None:
    log.warning("ledger_unavailable_retrying", reason=type(error).__name__)
