"""Jobs from their requests to their callbacks in one process, for the test of power cuts.

``python -m tests.chaos.power_cut_work HOME URL`` runs them once and prints a JSON line for everything that someone
outside was promised: a request that was accepted, and a submission that a provider charged for.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.callbacks.outbox_loop import OutboxLoop
from consumer.calls.engine import CallEngine
from consumer.execution.flushing import ManifestFlusher, restore_manifests
from consumer.execution.group import Pace, run_all
from consumer.ledger import queries
from consumer.ledger.claims import claim_next
from consumer.ledger.owner import this_process
from consumer.ledger.states import DeliveryState
from consumer.runtime import Runtime
from consumer.service import Loop
from consumer.wiring import admission_policy, build_runtime
from pipelines.registry import PIPELINES
from providers.base import Call
from providers.memory_provider import MemoryProvider
from schemas.settings import Settings
from tests.ask_pipeline import models
from tests.telecine_process import wait_until

#: In the order in which they are sent; neighbours of one type are claimed together.
JOBS = {f"{kind}-{number}": kind for kind in ("note", "ask", "noop") for number in range(3)}


def settings_of(home: Path) -> Settings:
    """Return the settings; a lease is over when the next process looks at it."""
    return Settings(
        home=home,
        scratch_folder=home / "scratch",
        allowed_private_hosts=frozenset({"127.0.0.1"}),
        lease_seconds=2,
        call_poll_seconds=0.01,
        outbox_poll_seconds=0.01,
        callback_schedule_seconds=(0.1, 0.1, 0.1),
        extensions=("tests.note_pipeline",),
    )


def run_jobs(home: Path, url: str, provider: MemoryProvider, accepted: Callable[[str], None]) -> None:
    """Send all requests, as a producer does who does not know which were accepted, and run them to their callbacks."""
    runtime = dataclasses.replace(build_runtime(settings_of(home), pipelines=PIPELINES), catalogue=models())
    engine = CallEngine(runtime, lambda wakes: None, opener=lambda name: provider)
    files = runtime.storage.small_files
    assert files is not None
    restore_manifests(runtime)
    loops: list[Loop] = [engine, OutboxLoop(runtime), ManifestFlusher(runtime, files)]
    threads = [threading.Thread(target=loop.run, daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        admit = BatchAdmitter(runtime.database, admission_policy(runtime))
        for job_id, kind in JOBS.items():
            data = {"text": f"text of {job_id}"} if kind == "note" else {}
            request = {"id": job_id, "type": kind, "data": data, "callback": {"url": url}}
            (answer,) = admit([IncomingMessage(json.dumps(request).encode(), "test", "q")])
            assert answer.error is None, answer.error
            accepted(job_id)
        wait_until(lambda: _ended(runtime, list(JOBS)))
        wait_until(lambda: all(_delivered(runtime, job_id) for job_id in JOBS))
    finally:
        for loop in loops:
            loop.stop()
        for thread in threads:
            thread.join()
        runtime.close()


def _ended(runtime: Runtime, job_ids: Sequence[str]) -> bool:
    """Run what is due, up to three jobs under one claim."""
    waiting = [job_id for job_id in job_ids if not _job(runtime, job_id).terminal]
    for job_id in waiting:
        most = lambda job_type: 1 if job_type == "ask" else 3  # noqa: E731
        claims = claim_next(
            runtime.database, job_id, owner=this_process(), seconds=runtime.settings.lease_seconds, most=most
        )
        if claims:
            run_all(runtime, claims, Pace())
    return not waiting


def _delivered(runtime: Runtime, job_id: str) -> bool:
    return all(
        delivery.state is DeliveryState.DELIVERED for delivery in queries.deliveries_of(runtime.database, job_id)
    )


def _job(runtime: Runtime, job_id: str) -> Any:
    return queries.find_job(runtime.database, job_id)


def main() -> None:
    """Run the jobs and print what was promised, with the time of each promise."""

    def promise(**record: str) -> None:
        print(json.dumps({"at": time.time(), **record}), flush=True)

    def charged(call: Call) -> None:
        promise(charged=call.key, task=next(reversed(provider._tasks)))

    provider = MemoryProvider(after=charged)
    run_jobs(Path(sys.argv[1]), sys.argv[2], provider, lambda job_id: promise(accepted=job_id))


if __name__ == "__main__":
    main()
