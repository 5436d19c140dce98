"""The parts of ``telecine up`` and the health server, run in one process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from consumer.execution.flushing import restore_manifests
from consumer.ledger.leases import release_owned_by
from consumer.ledger.owner import is_gone, this_process
from consumer.logs import logger
from consumer.runtime import Runtime
from consumer.service import Loop, Named, Service, build_loops
from consumer.storage.scratch import check_scratch
from consumer.wiring import build_runtime
from ops.dashboard.requirements import check_requirements as check_dashboard
from ops.edge.requirements import check_requirements
from ops.health import HealthServer
from ops.health_client import installation_id
from ops.home_lock import home_lock
from ops.ledger_probe import LedgerProbe
from ops.local_models_health import LocalModelsHealth
from ops.storage_health import StorageHealth
from ops.worker_process import worker_processes
from schemas.settings import Settings

log = logger(__name__)

#: How long running jobs may take to end after SIGTERM (Kubernetes kills after 30 s). The next start continues the rest.
GRACE_SECONDS = 20.0
#: What the call engine needs after its last provider response: to record it and to close its connections.
CLOSING_SECONDS = 2.0


def serve(
    settings: Settings,
    parts: Sequence[str],
    roles: Sequence[str],
    stop: threading.Event,
    started: Callable[[Settings, str], None],
) -> bool:
    """Run the parts until ``stop`` is set, and return ``False`` if one of them exited by itself.

    ``started`` is called with the health server's URL once everything runs.

    Raises:
        ConfigurationError: A setting is wrong, or another process runs on the same folder.
    """
    with home_lock(settings):
        if {"calls", "worker"} & set(parts):
            check_scratch(settings.scratch_folder)
        return _serve(settings, parts, roles, stop, started)


def _serve(
    settings: Settings,
    parts: Sequence[str],
    roles: Sequence[str],
    stop: threading.Event,
    started: Callable[[Settings, str], None],
) -> bool:
    runtime = build_runtime(settings)
    try:
        _prepare_storage(runtime, parts)
        service = Service(_loops(runtime, parts, roles))
        probe, local = LedgerProbe(runtime.database), _local_models(runtime, parts)
        health = HealthServer(
            settings.health_host,
            settings.health_port,
            probe,
            service,
            settings,
            local,
            installation=installation_id(settings),
            storage=StorageHealth(runtime.storage, settings.output) if settings.storage_kind == "s3" else None,
            slots=_slots(settings, parts, roles),
        )
        health.start()
        service.start()
        started(settings, health.url)
        log.info("started", mode="embedded" if settings.embedded else "broker", parts=list(parts), health=health.url)
        _watch(service, stop)
        log.info("stopping")
        began = time.monotonic()
        service.stop(grace_seconds=GRACE_SECONDS)
        _release_jobs(runtime)
        # A paid call that is being sent gets more time, because cutting it off leaves its outcome unknown.
        service.wait("calls", settings.call_stop_seconds + CLOSING_SECONDS - (time.monotonic() - began))
        health.stop()
        return not service.failed.is_set()
    finally:
        runtime.close()


def _prepare_storage(runtime: Runtime, parts: Sequence[str]) -> None:
    settings = runtime.settings
    if settings.embedded and settings.storage_kind == "folder":
        # The folder for input media: s3://inbox/….
        (settings.storage_folder / "inbox").mkdir(parents=True, exist_ok=True)
    if {"outbox", "sweep"} & set(parts):
        # Before a callback sends someone to a manifest.
        restore_manifests(runtime)


def _slots(settings: Settings, parts: Sequence[str], roles: Sequence[str]) -> dict[str, int]:
    """Return how many jobs each worker of this process, or child process, runs at the same time."""
    if "worker" not in parts:
        return {}
    if settings.embedded:
        return {"worker": settings.concurrency}
    return {"worker-gpu" if role == "gpu" else "worker": 1 if role == "gpu" else settings.concurrency for role in roles}


def _release_jobs(runtime: Runtime) -> None:
    """Release the jobs that did not end within the grace period, so that an orderly stop does not count as a crash."""
    me = this_process()
    try:
        released = release_owned_by(runtime.database, lambda owner: owner == me or is_gone(owner))
    except Exception:
        log.warning("job_release_failed", exc_info=True)
        return
    if released:
        log.warning("jobs_released", jobs=released)


def _loops(runtime: Runtime, parts: Sequence[str], roles: Sequence[str]) -> list[Named]:
    from consumer.app import app, use_runtime

    use_runtime(runtime)
    loops = build_loops(runtime, app, parts)
    if "edge" in parts:
        loops.append(Named("edge", _edge(runtime)))
    if "dashboard" in parts:
        loops.append(Named("dashboard", _dashboard(runtime)))
    if "worker" not in parts:
        return loops
    if not runtime.settings.embedded:
        announce = runtime.database.announce_callbacks if "outbox" in parts else None
        return [*loops, *worker_processes(roles, announce)]
    from consumer.worker import EmbeddedWorker

    return [*loops, Named("worker", EmbeddedWorker(app, concurrency=runtime.settings.concurrency))]


def _edge(runtime: Runtime) -> Loop:
    settings = runtime.settings
    check_requirements(settings, settings.edge_host)
    from ops.edge.server import EdgeServer

    return EdgeServer(runtime, settings.edge_host, settings.edge_ports)


def _dashboard(runtime: Runtime) -> Loop:
    check_dashboard(runtime.settings, runtime.settings.dashboard_host)
    from ops.dashboard.server import DashboardServer

    return DashboardServer(runtime, runtime.settings.dashboard_host, runtime.settings.dashboard_port)


def _local_models(runtime: Runtime, parts: Sequence[str]) -> LocalModelsHealth | None:
    """Return the local models of the embedded worker; ``None`` with a broker, where workers are separate processes."""
    if not runtime.settings.embedded or "worker" not in parts:
        return None
    return LocalModelsHealth(lambda: runtime.host, list(runtime.catalogue), needed=False)


def _watch(service: Service, stop: threading.Event) -> None:
    while not stop.wait(0.2):
        if service.failed.is_set():
            log.error("component_exited")
            return
