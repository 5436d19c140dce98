"""A real HTTP receiver of callbacks, for tests and for people.

In a test::

    with Receiver(answers=[500, 500, 200]) as receiver:
        ...  # something posts to receiver.url
        attempts = receiver.wait_for(3, timeout=10)
        receiver.verify(attempts[-1], secret)

For other processes: ``python -m tests.receiver --port 8099 --log attempts.jsonl --answers 500,200``.
"""

from __future__ import annotations

import argparse
import base64
import json
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from standardwebhooks import Webhook


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to one attempt, sent after ``delay_seconds``."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_seconds: float = 0.0
    #: Raw bytes to send instead of the other fields; then the connection is closed.
    raw: bytes | None = None


def redirect(location: str, status: int = 302) -> Answer:
    """Return a redirect, which callbacks must not follow."""
    return Answer(status, {"location": location})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One received attempt: header names in lower case, ``at`` in Unix seconds."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    def json(self) -> Any:
        """Return the parsed body."""
        return json.loads(self.body)

    def as_line(self) -> str:
        """Return a line for the log: JSON with ``body`` as text, or ``body_base64`` if it is not UTF-8."""
        record: dict[str, Any] = {
            "at": self.at,
            "method": self.method,
            "path": self.path,
            "headers": dict(self.headers),
        }
        try:
            record["body"] = self.body.decode()
        except UnicodeDecodeError:
            record["body_base64"] = base64.b64encode(self.body).decode()
        return json.dumps(record) + "\n"


class Receiver:
    """Records all complete requests. It sends ``answers`` in turn and repeats the last one; the default is 200."""

    def __init__(
        self, answers: Sequence[int | Answer] = (), *, host: str = "127.0.0.1", port: int = 0, log: Path | None = None
    ) -> None:
        self._script = [Answer(answer) if isinstance(answer, int) else answer for answer in answers]
        self._attempts: list[Attempt] = []
        self._changed = threading.Condition()
        self._log = log
        self._closing = threading.Event()
        self._server = _Server((host, port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="receiver", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The callback URL, ``http://127.0.0.1:PORT/hook``. Any other path works as well."""
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def attempts(self) -> list[Attempt]:
        """All attempts so far, in the order of their arrival."""
        with self._changed:
            return list(self._attempts)

    def wait_for(self, count: int, timeout: float = 30.0) -> list[Attempt]:
        """Wait for at least ``count`` attempts and return all of them.

        Raises:
            AssertionError: fewer arrived within ``timeout`` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._attempts) >= count, timeout):
                raise AssertionError(f"{len(self._attempts)} of {count} attempts arrived within {timeout:g} seconds")
            return list(self._attempts)

    def verify(self, attempt: Attempt, secret: str) -> Any:
        """Check the attempt's signature with the ``standardwebhooks`` package and return the parsed body.

        Raises:
            standardwebhooks.WebhookVerificationError: the signature is wrong.
        """
        known = Webhook(secret if secret.startswith("whsec_") else secret.encode())
        return known.verify(attempt.body, dict(attempt.headers))

    def record(self, attempt: Attempt) -> Answer:
        """Record an attempt and return the script's answer to it."""
        with self._changed:
            self._attempts.append(attempt)
            if self._log is not None:
                with self._log.open("a", encoding="utf-8") as file:
                    file.write(attempt.as_line())
            self._changed.notify_all()
            number = len(self._attempts) - 1
        return self._script[min(number, len(self._script) - 1)] if self._script else Answer()

    def pause(self, seconds: float) -> None:
        """Sleep, but not after the receiver has stopped."""
        self._closing.wait(seconds)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for pending answers and leaves no open socket
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], receiver: Receiver) -> None:
        self.receiver = receiver
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do not log errors: clients that close the connection are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        assert isinstance(self.server, _Server)
        receiver = self.server.receiver
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True  # the sender died mid-request: not an attempt
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = receiver.record(Attempt(self.command, self.path, headers, body, time.time()))
        self.close_connection = True
        if answer.delay_seconds:
            receiver.pause(answer.delay_seconds)
        if answer.raw is not None:
            self.wfile.write(answer.raw)
            return
        self.send_response(answer.status)
        for name, value in {"content-length": str(len(answer.body)), "connection": "close", **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    do_POST = do_GET = do_PUT = _answer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Do not log requests."""


def main() -> None:
    """Receive until interrupted, and log each attempt as a line of JSON."""
    options = argparse.ArgumentParser(prog="python -m tests.receiver", description=main.__doc__)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=8099)
    options.add_argument("--log", type=Path, default=None)
    options.add_argument("--answers", default="", help="statuses, such as 500,500,200; the last one is repeated")
    chosen = options.parse_args()
    # A shell makes its background processes ignore SIGINT, and their children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    script = [int(status) for status in chosen.answers.split(",") if status]
    with Receiver(script, host=chosen.host, port=chosen.port, log=chosen.log) as receiver:
        print(f"receiving at {receiver.url}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(f"{len(receiver.attempts)} attempts", flush=True)


if __name__ == "__main__":
    main()
