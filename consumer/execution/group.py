"""Several short jobs under one claim: their leases are durable together, and so are their ends.

    claim 50 ──> begin, run, end ──> begin, run, end ──> …
                     │                   └─ each in its own transaction, which also begins the next, under its own lease
                     └─ slow: those that have not begun are handed back

Only a job that has begun counts a crash of its worker.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.engine import Connection

from consumer.execution.durable import run
from consumer.failpoints import failpoint
from consumer.ledger.due import Wake, Waker
from consumer.ledger.leases import Claim, begin, hand_back, make_durable
from consumer.ledger.states import TERMINAL, State
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


def run_all(runtime: Runtime, claims: Sequence[Claim], pace: Pace, wake: Waker = lambda _: None) -> None:
    """Run the jobs of one claim, one after the other. The first has begun. ``wake`` wakes those handed back."""
    waiting = list(claims[1:])
    if not waiting:
        _run_one(runtime, claims[0], pace)
        return
    slow = threading.Timer(min(SLOW_SECONDS, runtime.settings.lease_seconds / 3), _hand_back, [runtime, waiting, wake])
    slow.daemon = True
    failpoint("group.claimed")
    claim: Claim | None = claims[0]
    is_durable = True
    try:
        slow.start()
        while claim is not None:
            following = _Following(runtime, waiting)
            # The last end is durable, and with it those before.
            claim = replace(claim, deferred=bool(waiting), at_end=following.begin if waiting else None)
            state = _run_one(runtime, claim, pace)
            is_durable = not claim.deferred and (state in TERMINAL or is_durable)
            claim = following.take(has_begun=state is State.COMPLETED)
        if not is_durable:
            make_durable(runtime.database, claims[0].lease)
    finally:
        slow.cancel()
        if slow.ident is not None:
            slow.join()  # a stop releases the same rows next
        _hand_back(runtime, waiting, wake)


def _run_one(runtime: Runtime, claim: Claim, pace: Pace) -> State:
    """Run the job, and return its state."""
    started = time.monotonic()
    with job_scope(claim.job.id):
        state = run(runtime, claim)
    pace.took(claim.job.type, time.monotonic() - started)
    return state


class _Following:
    """The job after the one that runs. It begins in the transaction that completes that one, if it completes."""

    def __init__(self, runtime: Runtime, waiting: list[Claim]) -> None:
        self._runtime, self._waiting = runtime, waiting
        self._begun: Claim | None = None

    def begin(self, connection: Connection) -> None:
        """Begin the first job that is waiting and whose lease is still held."""
        failpoint("group.ended_one")
        self._begun = None
        for claim in self._waiting.copy():
            with contextlib.suppress(LeaseLost):
                self._begun = begin(connection, claim, seconds=self._runtime.settings.lease_seconds)
                return

    def take(self, *, has_begun: bool) -> Claim | None:
        """Return the job, and begin it unless that is done; ``None`` if there is none."""
        if self._waiting and not (has_begun and self._begun):
            self._begun = None
            with self._runtime.database.write_deferred() as connection:
                self.begin(connection)
        if self._begun is not None:
            failpoint("group.begun")
            with contextlib.suppress(IndexError):  # perhaps the timer has just handed the others back
                while self._waiting.pop(0).job.id != self._begun.job.id:
                    pass  # it has another worker
        return self._begun


def _hand_back(runtime: Runtime, waiting: list[Claim], wake: Waker) -> None:
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
        if count:  # otherwise they would wait for the sweep
            wake([Wake(claim.job.id, claim.job.role, claim.job.priority, claim.job.type) for claim in claims])
