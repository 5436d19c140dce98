"""``telecine up``: everything on one machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Annotated

import typer

from consumer import logs, watch
from consumer.logs import logger
from consumer.runtime import Runtime, build_runtime
from consumer.service import PARTS, Named, Service, build_loops
from schemas.errors import ConfigurationError
from schemas.settings import Settings

from ops.health import HealthServer

log = logger(__name__)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("up")(up)


def up(
    only: Annotated[str, typer.Option(help=f"Parts to run, comma-separated: {', '.join(PARTS)}.")] = ",".join(PARTS),
    roles: Annotated[str, typer.Option(help="Worker roles, comma-separated.")] = "io,render",
) -> None:
    """Run doors, worker, sweep and outbox on this machine, until Ctrl-C or SIGTERM."""
    settings = Settings()
    logs.configure(settings.log_level, settings.log_format)
    watch.start_sentry(settings)
    parts = [part.strip() for part in only.split(",") if part.strip()]
    if unknown := set(parts) - set(PARTS):
        raise ConfigurationError(f"there is no part {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
    runtime = build_runtime(settings)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    _serve(runtime, parts, [role.strip() for role in roles.split(",")], stop)


def _serve(runtime: Runtime, parts: Sequence[str], roles: Sequence[str], stop: threading.Event) -> None:
    from consumer.app import app, use_runtime

    use_runtime(runtime)
    loops = build_loops(runtime, app, parts)
    if "worker" in parts:
        loops.append(_worker(runtime, roles))
    service = Service(loops)
    health = HealthServer(runtime, service)
    health.start()
    service.start()
    log.info("up", mode="embedded" if runtime.settings.embedded else "broker", parts=list(parts), health=health.url)
    while not stop.wait(0.2):
        if service.failed.is_set():
            log.error("a_part_ended")
            break
    log.info("stopping")
    service.stop()
    health.stop()
    runtime.close()
    if service.failed.is_set():
        sys.exit(1)


def _worker(runtime: Runtime, roles: Sequence[str]) -> Named:
    if runtime.settings.embedded:
        from consumer.app import app
        from consumer.embedded_worker import EmbeddedWorker

        return Named("worker", EmbeddedWorker(app, concurrency=runtime.settings.concurrency))
    return Named("worker", _WorkerProcess(roles))


class _WorkerProcess:
    """``telecine worker`` as a child, started again when it dies."""

    def __init__(self, roles: Sequence[str]) -> None:
        self._command = [sys.executable, "-m", "ops.cli.main", "worker", "--role", ",".join(roles)]
        self._stopped = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Keeps one worker running until ``stop``."""
        while not self._stopped.is_set():
            self._child = subprocess.Popen(self._command)
            while self._child.poll() is None and not self._stopped.wait(0.2):
                pass
            if not self._stopped.is_set():
                log.warning("worker_died", status=self._child.returncode)
                self._stopped.wait(1)
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            self._child.wait()

    def stop(self) -> None:
        """Warm shutdown: running jobs are finished."""
        self._stopped.set()
