"""The Celery application: one task, which runs one job.

``celery -A consumer.app worker -Q telecine.render.high,telecine.render.normal,telecine.render.low`` works as with any
Celery application; ``telecine worker --role render`` says the same more briefly.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import celery.apps.worker
from celery import Celery
from celery.loaders.app import AppLoader
from celery.signals import (
    celeryd_init,
    setup_logging,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
)
from sqlalchemy.exc import SQLAlchemyError

import consumer
from consumer import logs, sentry, tracing
from consumer.execution.group import Pace, run_all
from consumer.ledger.claims import claim_next
from consumer.ledger.database import is_ledger_fault
from consumer.ledger.due import Wake
from consumer.ledger.leases import release_owned_by
from consumer.ledger.owner import this_process
from consumer.ledger.turns import Turns
from consumer.runtime import Runtime
from consumer.storage.scratch import check_scratch, clear_abandoned
from consumer.wakeups.queues import ADVANCE, role_and_priority
from consumer.wakeups.send import WakeUps
from consumer.wakeups.stop_signals import exit_once
from consumer.wiring import build_runtime, open_ledger
from pipelines.registry import is_short
from schemas.backoff import backoff
from schemas.errors import ConfigurationError
from schemas.settings import Settings

# How long a wake-up waits for the ledger in this worker: less than a supervisor waits for a worker to stop.
_LEDGER_SECONDS = 10.0
# How long a wake-up runs short jobs before it goes back to its queue, so that other queues have their turn.
_DRAIN_SECONDS = 1.0
_FIRST_WAIT_SECONDS, _MAX_WAIT_SECONDS = 0.2, 2.0

log = logs.logger(__name__)


def _celery_settings() -> ModuleType:
    """Import the ``celeryconfig.py`` that was installed with this package.

    By its name, Celery would take a file of that name from the working directory.
    """
    path = Path(consumer.__file__).parent.parent / "celeryconfig.py"
    spec = importlib.util.spec_from_file_location("telecine_celeryconfig", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Celery's fix-up for Django would also search the working directory, if DJANGO_SETTINGS_MODULE is set. The loader is
# named, because Celery searches the working directory for it otherwise.
app = Celery("telecine", loader=AppLoader, fixups=[])
app.config_from_object(_celery_settings())

#: This process's settings, read at the first use.
_settings = functools.cache(Settings)
_lock = threading.Lock()
_pace = Pace()
_turns = Turns()
_runtimes: dict[int, Runtime] = {}


def runtime() -> Runtime:
    """Return this process's parts. Built at the first call; a forked child builds its own."""
    with _lock:
        found = _runtimes.get(os.getpid())
        if found is None:
            found = build_runtime(_settings())
            _runtimes.clear()
            _runtimes[os.getpid()] = found
        return found


def use_runtime(given: Runtime) -> None:
    """Make this process's tasks use existing parts (embedded mode, tests)."""
    _runtimes.clear()
    _runtimes[os.getpid()] = given


@app.task(name=ADVANCE)
def advance(job_id: str) -> None:
    """Run the most urgent due job of this job's role (usually this job) until it ends or parks.

    While the ledger is unavailable the wake-up waits here, and then goes back to its queue: it is not lost.
    A plain function: Celery never awaits an ``async def`` task.
    """
    deadline = time.monotonic() + _LEDGER_SECONDS
    failures = 0
    while True:
        try:
            return _advance_due(job_id)
        except Exception as error:
            if not is_ledger_fault(error):
                raise
            if failures == 0:
                log.warning("wakeup_waits_for_ledger", job_id=job_id, reason=type(error).__name__)
        if time.monotonic() >= deadline:
            return _send_again(job_id)
        time.sleep(backoff(failures, _FIRST_WAIT_SECONDS, _MAX_WAIT_SECONDS))
        failures += 1


def _advance_due(job_id: str) -> None:
    """Run the next job. Short jobs share wake-ups: if it is one, go on while any job is due."""
    parts = runtime()
    until = time.monotonic() + _DRAIN_SECONDS
    first = _advance_next(parts, job_id)
    if first is None or not is_short(parts.pipelines, first):
        return  # none was due, or one that has a wake-up of its own
    while time.monotonic() < until:
        if _advance_next(parts, job_id) is None:
            return
    _send_again(job_id)


def _advance_next(parts: Runtime, job_id: str) -> str | None:
    """Run the next job, or the next few short ones. Return their type, or ``None`` if none is due."""
    if parts.device_failed:
        return None  # this process is about to exit; other workers run its jobs
    most = functools.partial(_pace.most, parts.pipelines)
    with exit_once():
        try:
            seconds = parts.settings.lease_seconds
            claims = claim_next(parts.database, job_id, owner=this_process(), seconds=seconds, most=most, turns=_turns)
            if claims:
                run_all(parts, claims, _pace, WakeUps(app))
        except SystemExit:  # a service manager stops all processes of the worker, also this one of its pool
            _release_job(parts)
            raise
    if parts.device_failed:
        end_worker()
    return claims[0].job.type if claims else None


def _release_job(parts: Runtime) -> None:
    """Release the job of this process, due at once: an orderly stop does not count as a crash."""
    try:
        released = release_owned_by(parts.database, lambda owner: owner == this_process())
    except Exception:
        log.warning("job_release_failed", exc_info=True)
    else:
        log.warning("jobs_released", jobs=released)


def _send_again(job_id: str) -> None:
    """Return the wake-up to the queue that it came from. If the broker refuses it, the sweep sends another one."""
    queue = (advance.request.delivery_info or {}).get("routing_key") or ""
    if (known := role_and_priority(queue)) is not None:
        WakeUps(app)([Wake(job_id, *known)])


def end_worker() -> None:
    """Stop this process's worker so that its supervisor restarts it.

    With a failed device it would fail every job that it claims, including those that other workers could run.
    """
    from celery.worker import state

    log.error("worker_stopping", reason="the device of its local models no longer answers")
    state.should_stop = 1  # type: ignore[assignment]


@setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    settings = _settings()
    logs.configure(settings.log_level, settings.log_format)


@celeryd_init.connect
def _adapt_celery(instance: Any, **_: Any) -> None:
    """Keep Celery's banner and its notices at a stop out of JSON logs. Its warnings, which follow, are logged.

    SIGHUP stops the worker. Celery would run its main file again as a script, which cannot import this package.
    """
    _set_up_logging()
    restart = functools.partial(
        celery.apps.worker.install_worker_term_handler,  # type: ignore[attr-defined]
        sig="SIGHUP",
    )
    celery.apps.worker.install_worker_restart_handler = restart  # type: ignore[attr-defined]
    if logs.writes_json(_settings().log_format):
        instance.quiet = True
        celery.apps.worker.safe_say = lambda *_: None  # type: ignore[attr-defined]


@worker_ready.connect
def _log_start(sender: Any, **_: Any) -> None:
    log.info("worker_started", node=sender.hostname, queues=[queue.name for queue in sender.task_consumer.queues])


@worker_shutdown.connect
def _log_stop(**_: Any) -> None:
    log.info("worker_stopped")


@worker_init.connect
def _check_start(**_: Any) -> None:
    """Exit if this worker cannot use the ledger or the scratch folder: otherwise it would take wake-ups and fail.

    The ledger may be unreachable.
    """
    if os.getpid() in _runtimes:
        return  # embedded mode
    try:
        check_scratch(_settings().scratch_folder)
        open_ledger(_settings()).close()
    except ConfigurationError as error:
        log.error("worker_not_started", reason=error.message)
        raise SystemExit(1) from None
    except SQLAlchemyError:
        log.warning("ledger_not_checked", exc_info=True)


@worker_process_init.connect
def start_process(**_: Any) -> None:
    """Prepare a process that runs jobs: start Sentry, delete what a killed predecessor left on the disk."""
    _settings.cache_clear()  # a forked child reads its own, as a new process does
    settings = _settings()
    sentry.start_sentry(settings)
    tracing.start_tracing()
    clear_abandoned(settings.scratch_folder)


@worker_process_shutdown.connect
def _stop_process(**_: Any) -> None:
    tracing.stop_tracing()
