"""From a request to a settled call with providers in memory, for the contract tests of calls."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.calls.engine import CallEngine
from consumer.execution.durable import advance
from consumer.ledger import calls, queries
from consumer.ledger.call_records import CallRow
from consumer.ledger.due import Wake
from consumer.ledger.records import Job
from consumer.ledger.states import CallState, State
from consumer.runtime import Runtime
from consumer.wiring import admission_policy, build_runtime
from pipelines.registry import PIPELINES
from providers.base import Call, RemoteProvider
from providers.memory_provider import MemoryProvider
from schemas.errors import ProviderNotConfigured, ProviderOutcomeUnknown
from schemas.settings import Settings
from tests.ask_pipeline import models
from tests.ledger_views import Ledger


class Line:
    """A runtime with an engine and two providers in memory, on an existing ledger."""

    def __init__(self, ledger: Ledger, home: Path, **settings: Any) -> None:
        url = ledger.a.url.render_as_string(hide_password=False)
        quick = {"call_poll_seconds": 0.01, "max_failures": 3}
        runtime = build_runtime(Settings(home=home, ledger_url=url, **{**quick, **settings}), pipelines=PIPELINES)
        self.runtime: Runtime = dataclasses.replace(runtime, catalogue=models())
        self.alpha, self.beta = MemoryProvider(), MemoryProvider()
        self.engine: CallEngine | None = None

    def close(self) -> None:
        """Stop the engine and close the ledger."""
        self.stop()
        self.runtime.close()

    def submit(self, job_id: str = "j", **envelope: Any) -> None:
        body = {"id": job_id, "type": "ask", "data": {}} | envelope
        (answer,) = BatchAdmitter(self.runtime.database, admission_policy(self.runtime))(
            [IncomingMessage(json.dumps(body).encode(), "test", "q")]
        )
        assert answer.error is None, answer.error

    def start(self, *, missing: str = "") -> None:
        """Start the engine. The provider ``missing`` is not configured."""

        def opener(name: str) -> RemoteProvider:
            if name == missing:
                raise ProviderNotConfigured("no key")
            return {"alpha": self.alpha, "beta": self.beta}[name]

        engine = CallEngine(self.runtime, self._woken, opener=opener)
        self.engine = engine
        self._thread = threading.Thread(target=engine.run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the engine."""
        if self.engine is not None:
            self.engine.stop()
            self._thread.join(30)
            self.engine = None

    def advance(self, job_id: str = "j") -> State | None:
        return advance(self.runtime, job_id)

    def job(self, job_id: str = "j") -> Job:
        found = queries.find_job(self.runtime.database, job_id)
        assert found is not None
        return found

    def call(self, job_id: str = "j") -> CallRow:
        return calls.of_job(self.runtime.database, job_id)[-1]

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, calls.of_job(self.runtime.database, "j")
            time.sleep(0.01)

    def finished(self, job_id: str = "j", **envelope: Any) -> Job:
        """Submit a job, park it, let the engine settle its call, advance the job and return it."""
        self.submit(job_id, **envelope)
        assert self.advance(job_id) is State.WAITING
        self.start()
        self.until(lambda: self.call(job_id).settled)
        self.advance(job_id)
        return self.job(job_id)

    def lose_first_response(self) -> None:
        """Submit a job, and let its call have an unknown outcome: the provider accepted it, and cannot be asked."""
        self.alpha.can_find = False
        errors = [ProviderOutcomeUnknown("connection reset")]

        def once(call: Call) -> None:
            if errors:
                raise errors.pop()

        self.alpha.after = once
        self.submit()
        self.advance()
        self.start()
        self.until(lambda: self.call().state is CallState.UNKNOWN)

    def events(self, job_id: str = "j") -> list[str]:
        return [entry.event for entry in queries.timeline_of(self.runtime.database, job_id)]

    def _woken(self, wakes: Any) -> None:
        assert all(isinstance(wake, Wake) for wake in wakes)


def raiser(error: Exception) -> Callable[[Call], None]:
    """Return a hook for ``MemoryProvider`` that raises ``error``."""

    def act(call: Call) -> None:
        raise error

    return act
