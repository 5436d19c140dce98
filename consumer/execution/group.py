"""Several short jobs under one claim: their leases are durable together, and so are their ends.

    claim 50 ──> begin, run, end ──> begin, run, end ──> …
                     │                   └─ each in its own transaction, under its own lease
                     └─ slow: those that have not begun are handed back

Only a job that has begun counts a crash of its worker.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from consumer.execution.durable import run
from consumer.failpoints import failpoint
from consumer.ledger.leases import Claim, begin, hand_back, make_durable
from consumer.ledger.states import TERMINAL
from consumer.logs import logger
from consumer.runtime import Runtime
from consumer.sentry import job_scope
from pipelines.registry import Pipeline, is_short
from schemas.errors import LeaseLost

log = logger(__name__)

#: How long the jobs that are claimed together take together, if they take as long as those before.
GROUP_SECONDS = 0.25
MOST = 50
#: After so long, the jobs that have not begun are handed back: one of the group was slow. Less for short leases.
SLOW_SECONDS = 1.0
#: The weight of the newest job in the mean of its type.
_WEIGHT = 0.2


class Pace:
    """How long the jobs of each type take in this process, and so how many of them are claimed together."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def most(self, pipelines: Mapping[str, Pipeline], job_type: str) -> int:
        """Return how many jobs of the type may be claimed together: one, unless they are known to be short."""
        if not is_short(pipelines, job_type) or (seconds := self._seconds.get(job_type)) is None:
            return 1
        return max(1, int(GROUP_SECONDS / max(seconds, GROUP_SECONDS / MOST)))

    def took(self, job_type: str, seconds: float) -> None:
        """Take note of how long a job took."""
        mean = self._seconds.get(job_type, seconds)
        self._seconds[job_type] = mean + (seconds - mean) * _WEIGHT


def run_all(runtime: Runtime, claims: Sequence[Claim], pace: Pace) -> None:
    """Run the jobs of one claim, one after the other. The first has begun."""
    waiting = list(claims[1:])
    if not waiting:
        _run_one(runtime, claims[0], pace)
        return
    slow = threading.Timer(min(SLOW_SECONDS, runtime.settings.lease_seconds / 3), _hand_back, [runtime, waiting])
    slow.daemon = True
    failpoint("group.claimed")
    claim: Claim | None = claims[0]
    is_durable = True
    try:
        slow.start()
        while claim is not None:
            # The last end is durable, and with it those before.
            claim = replace(claim, deferred=bool(waiting))
            has_ended = _run_one(runtime, claim, pace)
            is_durable = not claim.deferred and (has_ended or is_durable)
            claim = _begin_next(runtime, waiting)
        if not is_durable:
            make_durable(runtime.database, claims[0].lease)
    finally:
        slow.cancel()
        if slow.ident is not None:
            slow.join()  # a stop releases the same rows next
        _hand_back(runtime, waiting)


def _run_one(runtime: Runtime, claim: Claim, pace: Pace) -> bool:
    """Run the job, and return whether it has ended."""
    started = time.monotonic()
    with job_scope(claim.job.id):
        state = run(runtime, claim)
    pace.took(claim.job.type, time.monotonic() - started)
    return state in TERMINAL


def _begin_next(runtime: Runtime, waiting: list[Claim]) -> Claim | None:
    """Begin and return the first job that is still waiting, or ``None`` if there is none."""
    refused: list[Claim] = []
    try:
        while True:
            try:
                claim = waiting.pop(0)
            except IndexError:  # perhaps the timer has just handed them back
                return None
            failpoint("group.ended_one")
            # Handed back in the end unless it begins; what is begun or has another worker is left alone.
            refused.append(claim)
            with contextlib.suppress(LeaseLost):
                begun = begin(runtime.database, claim, seconds=runtime.settings.lease_seconds)
                refused.remove(claim)
                failpoint("group.begun")
                return begun
    finally:
        _hand_back(runtime, refused)


def _hand_back(runtime: Runtime, waiting: list[Claim]) -> None:
    """Release the jobs that have not begun. If the ledger is away, their leases expire, which counts no crash."""
    claims = waiting.copy()
    waiting.clear()
    if not claims:
        return
    try:
        count = hand_back(runtime.database, claims)
    except Exception:
        log.warning("claims_not_handed_back", jobs=len(claims), exc_info=True)
    else:
        log.info("claims_handed_back", jobs=count)
