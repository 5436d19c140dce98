"""A minimal receiver of callbacks that shows what every receiver has to do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self


class CallbackReceiver:
    """Listens on a free port and keeps the last callback."""

    def __init__(self) -> None:
        arrived = self._arrived = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            last: ClassVar[tuple[dict[str, str], bytes]] = ({}, b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                Handler.last = ({name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(204)
                self.end_headers()
                arrived.set()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                pass

        self._handler = Handler
        self._server = HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port

    @property
    def url(self) -> str:
        """The value for ``callback.url``."""
        return f"http://127.0.0.1:{self.port}/hooks/media"

    def wait(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for a callback and return whether one arrived."""
        return self._arrived.wait(seconds)

    def verify(self, secret: str) -> bool:
        """Return whether the last callback was signed with ``secret`` (Standard Webhooks: id, time and body)."""
        headers, body = self._handler.last
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256)
        expected = "v1," + base64.b64encode(digest).decode()
        return any(hmac.compare_digest(expected, given) for given in headers["webhook-signature"].split(" "))

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
