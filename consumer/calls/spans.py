"""The spans of what the engine does for a call, which continue the span of the attempt that enqueued it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from consumer import tracing
from consumer.ledger.call_queries import enqueuing_span
from consumer.ledger.call_records import CallRow
from consumer.ledger.database import Database
from consumer.ledger.states import CallState

_NAMES = {
    CallState.SUBMITTING: "submit",
    CallState.WORKING: "poll",
    CallState.FETCHING: "fetch",
    CallState.UNKNOWN: "look up",
}
#: Calls whose attempts are remembered, so that not every poll reads the ledger.
_REMEMBERED = 10_000


class CallSpans:
    """Makes the spans of one engine."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._carriers: dict[str, tracing.Carrier] = {}

    @contextlib.asynccontextmanager
    async def of(self, call: CallRow) -> AsyncIterator[None]:
        """Make the span of the action that the call's state asks for."""
        if not tracing.enabled():
            yield
            return
        if call.id not in self._carriers:
            if len(self._carriers) >= _REMEMBERED:
                self._carriers.clear()
            self._carriers[call.id] = await asyncio.to_thread(enqueuing_span, self._database, call.job_id, call.step)
        name = "cancel" if call.cancel_requested else _NAMES.get(call.state, call.state.value)
        attributes = {
            "telecine.job.id": call.job_id,
            "telecine.step": call.step,
            "telecine.call.key": call.id,
            "telecine.provider": call.provider,
            "telecine.model": call.model,
        }
        with tracing.continued(f"{name} {call.provider}", self._carriers[call.id], attributes, sends=True):
            yield
