"""HTTP server for ``/health``, ``/ready``, ``/live`` and ``/metrics``, on its own port.

============ ==================================================== ============================================
path         200                                                  503
============ ==================================================== ============================================
``/health``  ``healthy``, or ``degraded``: a broker or the object ``unhealthy``: the ledger does not answer, a
             storage is unreachable or rejects the credentials,   part exited or keeps exiting, or a GPU worker
             or a GPU worker has no accelerator                   has no models
``/ready``   ``healthy``                                          any other state: do not send work here
``/live``    every part of this process runs                      a part exited or keeps exiting: restart the
                                                                  process
============ ==================================================== ============================================
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from consumer.ledger.database import Database
from consumer.ledger.queries import oldest_open_seconds
from consumer.service import Service
from ops.ledger_probe import LedgerProbe, LedgerUnavailable
from ops.local_models_health import LocalModelsHealth
from ops.machine_metrics import look_at_machine
from ops.metrics import render_metrics
from ops.metrics_snapshot import Snapshot, take_snapshot
from ops.storage_health import StorageHealth
from schemas.errors import ConfigurationError
from schemas.settings import Settings

#: Longest wait for the ledger, so that a probe gets its answer even when the ledger hangs.
LEDGER_SECONDS = 1.5


class HealthServer:
    """Serves health and metrics from its own threads, within two seconds even when the ledger hangs."""

    def __init__(
        self,
        host: str,
        port: int,
        probe: LedgerProbe,
        service: Service | None = None,
        settings: Settings | None = None,
        local: LocalModelsHealth | None = None,
        connections: Mapping[str, Callable[[], bool]] | None = None,
        installation: str | None = None,
        storage: StorageHealth | None = None,
        slots: Mapping[str, int] | None = None,
    ) -> None:
        """Bind the port.

        Args:
            host: Address to listen on.
            port: Port to listen on; 0 takes any free one.
            probe: Access to the ledger with a time limit.
            service: The loops to report on; a worker has none.
            settings: Folders and budgets for the metrics; ``None`` for those of the environment.
            local: The local models of this process.
            connections: Further parts of this process, and whether each is connected.
            installation: What ``installation_id`` returns, for commands that ask whether this is their Telecine.
            storage: The object storage; ``None`` for a folder.
            slots: How many jobs each worker of this process runs at the same time.

        Raises:
            ConfigurationError: If the port is in use, or the address does not belong to this machine.
        """
        self._probe = probe
        self._service = service
        self._settings = settings or Settings()
        self._slots = slots or {}
        self._local = local
        self._connections = connections or {}
        self._installation = {} if installation is None else {"installation": installation}
        self._storage = storage
        handler = type("Handler", (_Handler,), {"respond": staticmethod(self.respond)})
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            raise ConfigurationError(_bind_error(error, host, port)) from None
        self._server.daemon_threads = True
        # A forked worker process must not keep the port when this one is gone.
        os.register_at_fork(after_in_child=self._server.socket.close)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="health", daemon=True)

    @property
    def url(self) -> str:
        """The base URL of the server."""
        host, port = str(self._server.server_address[0]), self._server.server_address[1]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def start(self) -> None:
        """Start the server thread."""
        if self._storage is not None:
            self._storage.state()  # so that the first probe finds an answer
        self._thread.start()

    def stop(self) -> None:
        """Stop the server and close its socket."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def respond(self, path: str) -> tuple[int, str, bytes]:
        """Return status, content type and body for a path."""
        if path == "/metrics":
            return 200, CONTENT_TYPE_PLAIN_0_0_4, self._metrics()
        if path == "/live":
            alive = not self._part_exited() and not self._keep_exiting()
            return _json({"status": "healthy" if alive else "unhealthy"}, good=alive)
        if path in ("/health", "/ready"):
            report = self.report()
            status = report["status"]
            return _json(report, good=status == "healthy" or (path == "/health" and status == "degraded"))
        return 404, "text/plain; charset=utf-8", b"/health /ready /live /metrics\n"

    def report(self) -> dict[str, Any]:
        """Return the JSON body of ``/health``: the overall status and the state of each part."""
        ledger = self._ledger()
        parts = {name: "ok" if up else "not connected" for name, up in self._parts_up().items()}
        if self._storage is not None:
            parts["storage"] = self._storage.state()
        parts |= dict.fromkeys(exiting := self._keep_exiting(), "keeps exiting")
        if self._part_exited():
            parts["loops"] = "one ended"
        all_ok = set(parts.values()) <= {"ok"}
        broken = ledger != "ok" or self._part_exited() or exiting
        status = "unhealthy" if broken else "healthy" if all_ok else "degraded"
        report = {"status": status, "checks": {"ledger": ledger, **parts}, **self._installation}
        return report if self._local is None else self._local.add_to(report)

    def _ledger(self) -> str:
        try:
            return self._probe.query(_state_of_ledger, seconds=LEDGER_SECONDS)
        except LedgerUnavailable as error:
            return str(error)

    def _metrics(self) -> bytes:
        machine = look_at_machine(self._settings, self._local)
        storage_up = None if self._storage is None else self._storage.state() == "ok"
        parts, slots = self._parts_up(), self._slots
        return render_metrics(self._snapshot(), parts, machine=machine, slots=slots, storage_up=storage_up)

    def _snapshot(self) -> Snapshot | None:
        try:
            return self._probe.query(lambda database: take_snapshot(database, self._settings), seconds=LEDGER_SECONDS)
        except LedgerUnavailable:
            return None

    def _parts_up(self) -> dict[str, bool]:
        loops = self._service.loops if self._service is not None else ()
        parts = {item.name: bool(getattr(item.loop, "connected", True)) for item in loops}
        return parts | {name: connected() for name, connected in self._connections.items()}

    def _keep_exiting(self) -> list[str]:
        """Return the parts whose child process exits after each start."""
        loops = self._service.loops if self._service is not None else ()
        return [item.name for item in loops if getattr(item.loop, "keeps_exiting", False)]

    def _part_exited(self) -> bool:
        return self._service is not None and self._service.failed.is_set()


class _Handler(BaseHTTPRequestHandler):
    respond: Any
    # Seconds after which a client that sends no data loses its connection, and with it its thread.
    timeout = 10

    def do_GET(self) -> None:
        status, content_type, body = self.respond(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(ConnectionError):  # a scraper that gave up
                self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


def _state_of_ledger(database: Database) -> str:
    if database.is_read_only():
        return "read-only"
    oldest_open_seconds(database)
    return "ok"


def _json(value: dict[str, Any], *, good: bool) -> tuple[int, str, bytes]:
    return 200 if good else 503, "application/json", json.dumps(value).encode() + b"\n"


def _bind_error(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; is another Telecine running? TELECINE_HEALTH_PORT=0 takes a free one"
    return f"cannot listen on {host}:{port}: {error.strerror}; check TELECINE_HEALTH_HOST and TELECINE_HEALTH_PORT"
