"""Writes to the ledger that must not be lost: they are retried while the ledger is unavailable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from consumer import tracing
from consumer.ledger import accounts, call_outcomes
from consumer.ledger.call_claims import ClaimedCall
from consumer.ledger.database import is_ledger_fault
from consumer.logs import logger
from consumer.runtime import Runtime
from schemas.backoff import backoff
from schemas.errors import ProviderOutcomeUnknown, ProviderUnavailable, RateLimited, TelecineError

log = logger(__name__)

_FIRST_WAIT_SECONDS = 0.2
_MAX_WAIT_SECONDS = 5.0
#: Pause after "too many requests" without ``Retry-After``.
_PAUSE_SECONDS = 5.0

T = TypeVar("T")


class CallRecorder:
    """Records outcomes of calls, and the state of providers' circuit breakers."""

    def __init__(self, runtime: Runtime) -> None:
        self._database = runtime.database
        self._limits_of = runtime.settings.limits_of

    async def record(self, outcome: Callable[..., T], claimed: ClaimedCall, *arguments: Any, **named: Any) -> T:
        """Call ``outcome``, a function of ``call_outcomes``, for the claimed call.

        Raises:
            LeaseLost: Another engine or an operator has acted for the call.
        """
        for argument in arguments:
            if isinstance(argument, TelecineError):
                tracing.fail(argument)
        return await self._retry_until_ledger_up(outcome, self._database, claimed, *arguments, **named)

    async def reschedule(self, claimed: ClaimedCall, seconds: float, error: TelecineError) -> None:
        """Repeat the action after ``seconds``, because of ``error``."""
        await self.record(call_outcomes.reschedule, claimed, seconds, error)

    async def provider_answered(self, provider: str) -> None:
        """Close the provider's circuit breaker."""
        await self._retry_until_ledger_up(self._write_answer, provider)

    async def provider_failed(self, provider: str, error: TelecineError) -> None:
        """Pause the provider, count a failure for its circuit breaker or close it, depending on ``error``."""
        await self._retry_until_ledger_up(self._write_failure, provider, error)

    def _write_answer(self, provider: str) -> None:
        with self._database.write() as connection:
            accounts.record_answer(connection, provider)

    def _write_failure(self, provider: str, error: TelecineError) -> None:
        with self._database.write() as connection:
            if isinstance(error, RateLimited):
                seconds = error.retry_after_seconds or _PAUSE_SECONDS
                accounts.pause(connection, provider, seconds, error.message)
            elif isinstance(error, ProviderUnavailable | ProviderOutcomeUnknown):
                accounts.record_failure(connection, provider, self._limits_of(provider), error.message)
            else:
                accounts.record_answer(connection, provider)

    async def _retry_until_ledger_up(self, write: Callable[..., T], *arguments: Any, **named: Any) -> T:
        failures = 0
        while True:
            try:
                return await asyncio.to_thread(write, *arguments, **named)
            except Exception as error:
                if not is_ledger_fault(error):
                    raise
                log.warning("ledger_unavailable_retrying", reason=type(error).__name__)
                await asyncio.sleep(backoff(failures, _FIRST_WAIT_SECONDS, _MAX_WAIT_SECONDS))
                failures += 1
