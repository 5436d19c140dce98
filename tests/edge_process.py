"""``telecine edge`` as users run it: in a separate process, which tests may kill."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from tests.edge_clients import Answer, Example, run
from tests.telecine_process import ROOT, TelecineProcess, wait_until


class EdgeProcess:
    """The edge of a ``TelecineProcess``, on a free port. A context manager."""

    def __init__(self, telecine: TelecineProcess, *arguments: str, name: str = "edge", **settings: object) -> None:
        self._telecine = telecine
        self._arguments = arguments
        self._settings = {f"TELECINE_{name.upper()}": str(value) for name, value in settings.items()}
        self.log = telecine.home / f"{name}.log"
        self.url = ""

    def start(self) -> Self:
        """Start it on a free port, or again on the same one, and wait until it accepts calls."""
        self.log.unlink(missing_ok=True)
        port = self.url.rpartition(":")[2] or "0"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ops.cli.main", "edge", "--port", port, *self._arguments],
                cwd=ROOT,
                env={**self._telecine.inherited(), **self._settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.url = wait_until(self._started, what=lambda: self.log.read_text(errors="replace")[-2000:])
        return self

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Make a call."""
        return requests.request(method, self.url + path, timeout=90, **options)

    def run(self, example: Example, folder: Path, **names: str) -> Answer:
        """Make a call of a document by its own client, and compare the answer with the document's."""
        return run(example, self.url, folder, **names)

    @contextlib.contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """Open a connection, for calls that no client library makes."""
        with socket.create_connection(("127.0.0.1", int(self.url.rpartition(":")[2])), timeout=30) as made:
            yield made

    def raw(self, head: str, body: bytes = b"", *, more: bool = False) -> bytes:
        """Send bytes and return what comes back; ``more``: without the end of the sending side."""
        with self.connection() as made:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                made.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
                if not more:
                    made.shutdown(socket.SHUT_WR)
            found = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := made.recv(65536):
                    found += piece
                    if more and _is_whole(found):
                        break
            return found

    def _started(self) -> str:
        assert self._process.poll() is None, self.log.read_text(errors="replace")[-2000:]
        return started_at(self.log)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()


def started_at(log: Path) -> str:
    """Return the address that the log says the edge was started at; empty if it was not started yet."""
    for line in log.read_text(errors="replace").splitlines():
        if '"edge_started"' in line:
            return str(json.loads(line)["url"])
    return ""


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    size = re.search(rb"content-length: (\d+)", head)
    return bool(end) and size is not None and len(body) >= int(size[1])
