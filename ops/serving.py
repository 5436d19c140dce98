"""Running the parts of ``telecine up`` together, with health beside them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from consumer.ledger.leases import hand_back
from consumer.ledger.owner import is_gone, this_process
from consumer.logs import logger
from consumer.runtime import Runtime, build_runtime
from consumer.service import Named, Service, build_loops
from ops.health import HealthServer
from ops.local_watch import LocalWatch
from ops.probe import LedgerProbe
from ops.worker_process import worker_processes
from schemas.settings import Settings

log = logger(__name__)

#: How long running jobs may take to end after SIGTERM. Kubernetes kills after 30 s; the next start goes on with them.
GRACE_SECONDS = 20.0
#: What the engine needs after its last answer: to write it down and to close its connections.
CLOSING_SECONDS = 2.0


def serve(
    settings: Settings,
    parts: Sequence[str],
    roles: Sequence[str],
    stop: threading.Event,
    started: Callable[[Settings, str], None],
) -> bool:
    """Runs the parts until ``stop`` is set; ``False`` if one of them ended by itself.

    ``started`` is called with the address of health once everything runs.
    """
    runtime = build_runtime(settings)
    if settings.embedded and settings.storage_kind == "folder":
        # Where people put their media: s3://inbox/….
        (settings.storage_folder / "inbox").mkdir(parents=True, exist_ok=True)
    try:
        service = Service(_loops(runtime, parts, roles))
        probe, local = LedgerProbe(runtime.database), _local(runtime, parts)
        health = HealthServer(settings.health_host, settings.health_port, probe, service, settings.tenants, local)
        health.start()
        service.start()
        started(settings, health.url)
        log.info("up", mode="embedded" if settings.embedded else "broker", parts=list(parts), health=health.url)
        _watch(service, stop)
        log.info("stopping")
        began = time.monotonic()
        service.stop(grace_seconds=GRACE_SECONDS)
        _hand_back(runtime)
        # A paid call that is being sent has longer: cut off, its outcome would be unknown.
        service.wait("calls", settings.call_stop_seconds + CLOSING_SECONDS - (time.monotonic() - began))
        health.stop()
        return not service.failed.is_set()
    finally:
        runtime.close()


def _hand_back(runtime: Runtime) -> None:
    """Gives back the jobs that did not end within the grace: an orderly stop is no crash, whatever is cut off now."""
    me = this_process()
    try:
        given = hand_back(runtime.database, lambda owner: owner == me or is_gone(owner))
    except Exception:
        log.warning("jobs_not_handed_back", exc_info=True)
        return
    if given:
        log.warning("handed_back", jobs=given)


def _loops(runtime: Runtime, parts: Sequence[str], roles: Sequence[str]) -> list[Named]:
    from consumer.app import app, use_runtime

    use_runtime(runtime)
    loops = build_loops(runtime, app, parts)
    if "worker" not in parts:
        return loops
    if not runtime.settings.embedded:
        return [*loops, *worker_processes(roles)]
    from consumer.embedded_worker import EmbeddedWorker

    return [*loops, Named("worker", EmbeddedWorker(app, concurrency=runtime.settings.concurrency))]


def _local(runtime: Runtime, parts: Sequence[str]) -> LocalWatch | None:
    """The local models of this process: the embedded worker's. With a broker a worker is a process of its own."""
    if not runtime.settings.embedded or "worker" not in parts:
        return None
    return LocalWatch(lambda: runtime.host, list(runtime.catalogue), needed=False)


def _watch(service: Service, stop: threading.Event) -> None:
    while not stop.wait(0.2):
        if service.failed.is_set():
            log.error("a_part_ended")
            return
