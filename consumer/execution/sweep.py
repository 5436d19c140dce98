"""The sweep: wakes jobs that are due and have no worker, and ends those that are cancelled or past their deadline."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable

from consumer.execution.outcome import failure_delivery
from consumer.ledger.claims import enter_lines
from consumer.ledger.clock import make_stale_times_due
from consumer.ledger.completion import finish_unleased
from consumer.ledger.counters import BATCH as COUNTED, add_up
from consumer.ledger.database import is_ledger_fault
from consumer.ledger.due import Waker, cancelled_or_expired, reset_wakeups, take_due, undo_wakeup
from consumer.ledger.leases import expire_dead_owners
from consumer.ledger.records import Job
from consumer.ledger.states import State
from consumer.logs import bound, logger
from consumer.runtime import Runtime
from consumer.storage.scratch import clear_abandoned
from schemas.errors import DeadlineExceeded, JobCancelled

log = logger(__name__)

BATCH = 500
_COUNTER_BATCHES = 20
#: How often folders that crashed workers left on the disk are deleted.
CLEAR_SECONDS = 3600.0


class Sweep:
    """Polls the ledger every few seconds. Any number of sweeps may run."""

    def __init__(self, runtime: Runtime, wake: Waker) -> None:
        self._runtime = runtime
        self._wake = wake
        self._stopped = threading.Event()
        self._clear_at = self._reset_at = 0.0
        # Kombu's in-memory transport starts empty: wake-ups sent before the restart are lost.
        self._wakeups_lost = runtime.settings.embedded
        self._lines_entered = False

    def run(self) -> None:
        """Sweep until ``stop``. Log errors and continue."""
        while not self._stopped.is_set():
            self._guarded(self._clear)
            self._guarded(self._reset_wakeups)
            self._guarded(self.sweep)
            self._stopped.wait(self._runtime.settings.sweep_seconds)

    def stop(self) -> None:
        """Make ``run`` return soon. Call it from any thread."""
        self._stopped.set()

    def sweep(self) -> int:
        """Sweep once and return the number of jobs woken."""
        settings, database = self._runtime.settings, self._runtime.database
        self._guarded(self._check_clock)
        self._guarded(lambda: expire_dead_owners(database))
        self._guarded(self._end_cancelled_and_expired)
        self._guarded(self._enter_lines)
        woken = 0
        while due := take_due(database, limit=BATCH, again_seconds=settings.wake_again_seconds):
            if self._wake(due) is False:
                undo_wakeup(database, due, again_seconds=settings.wake_again_seconds)
                break
            woken += len(due)
            if len(due) < BATCH:
                break
        if woken:
            log.info("jobs_woken", jobs=woken)
        self._guarded(self._add_up_counters)
        return woken

    def _add_up_counters(self) -> None:
        """Add up what is in the log of the counters, at most a few batches at a time."""
        for _ in range(_COUNTER_BATCHES):
            if add_up(self._runtime.database, self._runtime.settings.tenants_in_metrics) < COUNTED:
                return

    def _clear(self) -> None:
        """Delete the folders of crashed workers: at the start, then once an hour."""
        if time.monotonic() < self._clear_at:
            return
        self._clear_at = time.monotonic() + CLEAR_SECONDS
        if cleared := clear_abandoned(self._runtime.settings.scratch_folder):
            log.info("scratch_deleted", folders=cleared)

    def _reset_wakeups(self) -> None:
        """Wake every waiting job now if wake-ups may be lost, instead of after its backoff of up to an hour."""
        if not self._wakeups_lost or time.monotonic() < self._reset_at:
            return
        reset_wakeups(self._runtime.database)
        self._wakeups_lost = False
        # A ledger that fails again and again must not fill the queues.
        self._reset_at = time.monotonic() + self._runtime.settings.wake_again_seconds

    def _enter_lines(self) -> None:
        """At the start, put into their lines the jobs that a sweep of the version before left outside."""
        if not self._lines_entered:
            enter_lines(self._runtime.database)
            self._lines_entered = True

    def _check_clock(self) -> None:
        """Make due what waits only because the database's clock was set back."""
        settings = self._runtime.settings
        if rows := make_stale_times_due(
            self._runtime.database,
            lease_seconds=settings.lease_seconds,
            again_seconds=settings.wake_again_seconds,
            longest_delivery_seconds=max(settings.callback_schedule_seconds, default=0.0),
            limits_of=settings.limits_of,
        ):
            log.warning("clock_set_back", rows=rows)

    def _end_cancelled_and_expired(self) -> None:
        for job in cancelled_or_expired(self._runtime.database, limit=BATCH):
            # One by one: a job of a newer version, which this one cannot read, must not hold up the others.
            self._guarded(functools.partial(self._end, job))

    def _end(self, job: Job) -> None:
        state, error = (
            (State.CANCELLED, JobCancelled()) if job.cancel_requested else (State.EXPIRED, DeadlineExceeded())
        )
        delivery = failure_delivery(self._runtime, job, state, error)
        if finish_unleased(self._runtime.database, job.id, state, error, delivery):
            with bound(job_id=job.id, type=job.type):
                log.warning("job_failed", state=state.value, code=error.code, reason=error.message)

    def _guarded(self, act: Callable[[], object]) -> None:
        """Call ``act``. Log its error."""
        try:
            act()
        except Exception as error:
            log.warning("sweep_failed", exc_info=True)
            # Workers had no ledger either, so that wake-ups had no effect.
            self._wakeups_lost |= is_ledger_fault(error)
