"""A minimal receiver of callbacks that shows what every receiver has to do, for the demo and `telecine receive`."""

from __future__ import annotations

import contextlib
import hmac
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from pydantic import SecretStr

from consumer.callbacks.signing import sign

#: A callback with another time is refused: it may be a recorded one.
_TOLERANCE_SECONDS = 300
#: Callbacks are smaller, even with a file in them.
_MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReceivedCallback:
    """One POST. The names of its headers are in lower case."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        """The id by which a receiver recognises a callback that it has already."""
        return self.headers.get("webhook-id", "")

    def fault(self, secrets: Sequence[SecretStr]) -> str | None:
        """Return why the callback must not be trusted, or ``None``. Standard Webhooks signs id, time and body."""
        given = self.headers.get("webhook-signature", "").split()
        if not given or not self.webhook_id:
            return "not signed"
        try:
            timestamp = int(self.headers.get("webhook-timestamp", ""))
            expected = sign(self.webhook_id, timestamp, self.body, secrets)["webhook-signature"].split()
        except ValueError:
            return "malformed webhook-id or webhook-timestamp"
        if not any(hmac.compare_digest(one.encode(), other.encode()) for one in expected for other in given):
            return "signed with another secret"
        return None if abs(time.time() - timestamp) <= _TOLERANCE_SECONDS else "signed too long ago"


class CallbackReceiver:
    """Listens on this machine and keeps the last callback."""

    def __init__(
        self, port: int = 0, *, status: int = 204, notify: Callable[[ReceivedCallback], None] = lambda callback: None
    ) -> None:
        """Bind the port; 0 takes a free one. Each callback is passed to ``notify`` and answered with ``status``."""
        self._arrived = threading.Event()
        self._last = ReceivedCallback({}, b"")
        self._notify = notify
        self._turn = threading.Lock()
        handler = type("Handler", (_Handler,), {"receive": staticmethod(self._receive), "status": status})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True

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
        """Return whether the last callback was signed with ``secret``."""
        return self._last.fault([SecretStr(secret)]) is None

    def _receive(self, callback: ReceivedCallback) -> None:
        with self._turn:
            self._last = callback
            self._notify(callback)
            self._arrived.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    receive: Callable[[ReceivedCallback], None]
    status: int
    # Seconds after which a sender that sends no data loses its connection.
    timeout = 20

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > _MOST_BYTES:
            self._answer(413 if length.isdecimal() else 411)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.receive(ReceivedCallback(headers, self.rfile.read(int(length))))
        self._answer(self.status)

    def do_GET(self) -> None:
        self._answer(405)

    do_HEAD = do_GET
    do_PUT = do_GET

    def _answer(self, status: int) -> None:
        with contextlib.suppress(OSError):  # the sender has gone
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass
