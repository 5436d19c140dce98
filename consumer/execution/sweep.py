"""The sweep: finds what should move and does not, and wakes it; ends what is over."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable

from consumer.execution.advance import failure_delivery
from consumer.ledger.completion import end_idle
from consumer.ledger.due import Waker, not_woken, take_due, to_end, wake_all
from consumer.ledger.leases import release_dead
from consumer.ledger.records import Job
from consumer.ledger.states import State
from consumer.logs import logger
from consumer.runtime import Runtime
from consumer.storage.scratch import clear_abandoned
from schemas.errors import DeadlineExceeded, JobCancelled

log = logger(__name__)

BATCH = 500
#: How often what crashes left on the disk is looked for.
CLEAR_SECONDS = 3600.0


class Sweep:
    """Looks at the ledger every few seconds. Any number may run."""

    def __init__(self, runtime: Runtime, wake: Waker) -> None:
        self._runtime = runtime
        self._wake = wake
        self._stopped = threading.Event()
        self._clear_at = 0.0

    def run(self) -> None:
        """Sweeps until ``stop``; whatever fails is logged and tried again."""
        # The in-memory transport was empty a moment ago.
        forgotten = self._runtime.settings.embedded
        while not self._stopped.is_set():
            self._guarded(self._clear)
            if forgotten and self._guarded(lambda: wake_all(self._runtime.database)):
                forgotten = False
            self._guarded(self.sweep)
            self._stopped.wait(self._runtime.settings.sweep_seconds)

    def stop(self) -> None:
        """Makes ``run`` return soon."""
        self._stopped.set()

    def sweep(self) -> int:
        """One look at the ledger; answers how many jobs were woken."""
        settings, database = self._runtime.settings, self._runtime.database
        self._guarded(lambda: release_dead(database))
        self._guarded(self._end_what_is_over)
        woken = 0
        while due := take_due(database, limit=BATCH, again_seconds=settings.wake_again_seconds):
            if self._wake(due) is False:
                not_woken(database, due, again_seconds=settings.wake_again_seconds)
                break
            woken += len(due)
            if len(due) < BATCH:
                break
        if woken:
            log.info("woken", jobs=woken)
        return woken

    def _clear(self) -> None:
        """Removes what crashes left on the disk: now, and from time to time."""
        if time.monotonic() < self._clear_at:
            return
        self._clear_at = time.monotonic() + CLEAR_SECONDS
        if cleared := clear_abandoned(self._runtime.settings.scratch_folder):
            log.info("scratch_cleared", folders=cleared)

    def _end_what_is_over(self) -> None:
        for job in to_end(self._runtime.database, limit=BATCH):
            # One by one: a job that a newer version wrote and this one cannot tell of is in nobody's way.
            self._guarded(functools.partial(self._end, job))

    def _end(self, job: Job) -> None:
        state, error = (
            (State.CANCELLED, JobCancelled()) if job.cancel_requested else (State.EXPIRED, DeadlineExceeded())
        )
        delivery = failure_delivery(self._runtime, job, state, error)
        end_idle(self._runtime.database, job.id, state, error, delivery)

    def _guarded(self, act: Callable[[], object]) -> bool:
        """Whether it went well."""
        try:
            act()
        except Exception:
            log.warning("sweep_failed", exc_info=True)
            return False
        return True
