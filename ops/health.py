"""``/health``, ``/ready`` and ``/metrics`` on a port of their own."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from consumer.ledger.queries import oldest_open_seconds
from consumer.runtime import Runtime
from consumer.service import Service

from ops.metrics import render_metrics


class HealthServer:
    """Answers in threads of its own; a slow ledger slows an answer, nothing else."""

    def __init__(self, runtime: Runtime, service: Service) -> None:
        self._runtime = runtime
        self._service = service
        settings = runtime.settings
        handler = type("Handler", (_Handler,), {"answer": staticmethod(self.answer)})
        self._server = ThreadingHTTPServer((settings.health_host, settings.health_port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Starts to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stops to answer."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body for a path."""
        if path == "/metrics":
            return 200, "text/plain; version=0.0.4; charset=utf-8", render_metrics(self._runtime.database)
        if path in ("/health", "/ready"):
            report = self.report()
            good = report["status"] == "healthy"
            return 200 if good else 503, "application/json", json.dumps(report).encode()
        return 404, "text/plain", b"/health /ready /metrics\n"

    def report(self) -> dict[str, Any]:
        """What is well and what is not."""
        checks: dict[str, str] = {}
        try:
            oldest_open_seconds(self._runtime.database)
            checks["ledger"] = "ok"
        except Exception as error:
            checks["ledger"] = type(error).__name__
        for item in self._service.loops:
            connected = getattr(item.loop, "connected", True)
            checks[item.name] = "ok" if connected else "not connected"
        if self._service.failed.is_set():
            checks["loops"] = "one ended"
        return {"status": "healthy" if set(checks.values()) <= {"ok"} else "unhealthy", "checks": checks}


class _Handler(BaseHTTPRequestHandler):
    answer: Any

    def do_GET(self) -> None:
        status, content_type, body = self.answer(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass
