"""The Celery application: one task, which moves one job.

``celery -A consumer.app worker -Q telecine.render.high,telecine.render.normal,telecine.render.low`` works as with any
Celery application; ``telecine worker --role render`` says the same more briefly.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_process_init

from consumer import logs, sentry
from consumer.execution.advance import advance as advance_job
from consumer.ledger.due import choose
from consumer.runtime import Runtime
from consumer.storage.scratch import clear_abandoned
from consumer.wakeups.queues import ADVANCE
from consumer.wiring import build_runtime
from schemas.settings import Settings

# Another worker may take the chosen job first; then the next one is chosen.
_TRIES = 5

log = logs.logger(__name__)

app = Celery("telecine")
app.config_from_object("celeryconfig")

_lock = threading.Lock()
_runtimes: dict[int, Runtime] = {}


def runtime() -> Runtime:
    """This process's parts, built at the first call; a forked child builds its own."""
    with _lock:
        found = _runtimes.get(os.getpid())
        if found is None:
            found = build_runtime(Settings())
            _runtimes.clear()
            _runtimes[os.getpid()] = found
        return found


def use_runtime(given: Runtime) -> None:
    """Makes the tasks of this process work with parts that are there already (embedded mode, tests)."""
    _runtimes.clear()
    _runtimes[os.getpid()] = given


@app.task(name=ADVANCE)
def advance(job_id: str) -> None:
    """Moves the most urgent job there is, which is most often this one, as far as it goes now.

    A plain function: an `async def` task would never run.
    """
    parts = runtime()
    for _ in range(_TRIES):
        if parts.device_failed:
            return  # it ends, and leaves its jobs to others
        chosen = choose(parts.database, job_id)
        if chosen is None:
            return
        with sentry.job_scope(chosen):
            moved = advance_job(parts, chosen)
        if parts.device_failed:
            end_worker()
        if moved is not None:
            return


def end_worker() -> None:
    """Ends this process's worker, which takes no more jobs: whoever watches over it starts it anew.

    It would fail every job that it takes, and take those that other workers could do.
    """
    from celery.worker import state

    log.error("worker_ends", reason="the device of its local models no longer answers")
    state.should_stop = 1  # type: ignore[assignment]


@setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    settings = Settings()
    logs.configure(settings.log_level, settings.log_format)


@worker_process_init.connect
def start_process(**_: Any) -> None:
    """What every process that works on jobs does first."""
    settings = Settings()
    sentry.start_sentry(settings)
    # A pool replaces a child that was killed: what that one left on the disk goes now.
    clear_abandoned(settings.scratch_folder)
