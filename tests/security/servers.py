"""Servers on 127.0.0.1 that misbehave on purpose, and a resolver that a test controls."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpcore2
import pytest

Script = Callable[[socket.socket, bytes], None]


class Listener:
    """A server that counts connections, reads each request and answers with ``script``."""

    def __init__(self, script: Script | bytes = b"", *, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self.connections = 0
        self.requests: list[bytes] = []
        self.closing = threading.Event()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/file"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(5)
        self._socket.close()

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            connection.settimeout(5)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                stack.callback(connection.close)
            head = _request(connection)
            if not head:
                return
            self.requests.append(head)
            if isinstance(self._script, bytes):
                connection.sendall(self._script)
            else:
                self._script(connection, head)


def _request(connection: socket.socket) -> bytes:
    """Read a whole request, body included: closing with unread data would reset the connection."""
    request = b""
    while True:
        head, end, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if end and len(body) >= (int(length[1]) if length else 0):
            return request
        received = connection.recv(65536)
        if not received:
            return b""
        request += received


def reply(body: bytes = b"", status: str = "200 OK", *headers: str) -> bytes:
    """Return an HTTP/1.1 reply with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Names:
    """A resolver with fixed answers: for each name, the addresses of the first lookup, the second and so on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self.lookups: list[str] = []
        self._answers = {name: list(lists) for name, lists in answers.items()}
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._getaddrinfo)

    def _getaddrinfo(self, host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name.replace(".", "").isdigit() or ":" in name:
            return self._real(host, port, *arguments, **options)
        self.lookups.append(name)
        if name not in self._answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        lists = self._answers[name]
        found = lists.pop(0) if len(lists) > 1 else lists[0]
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in found
        ]


class PretendInternet(httpcore2.SyncBackend):
    """Redirect each connection that the guard allows to a local port, and record its real destination."""

    def __init__(self, port: int, *, dead: Sequence[str] = ()) -> None:
        self.dialled: list[str] = []
        self._port = port
        self._dead = dead

    def connect_tcp(self, host: str, port: int, *arguments: Any, **options: Any) -> httpcore2.NetworkStream:
        self.dialled.append(f"{host}:{port}")
        if host in self._dead:
            raise httpcore2.ConnectTimeout("no answer")
        return super().connect_tcp("127.0.0.1", self._port, *arguments, **options)


class AsyncPretendInternet(httpcore2.AnyIOBackend):
    """``PretendInternet`` for asyncio."""

    def __init__(self, port: int) -> None:
        self.dialled: list[str] = []
        self._port = port

    async def connect_tcp(self, host: str, port: int, *arguments: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        self.dialled.append(f"{host}:{port}")
        return await super().connect_tcp("127.0.0.1", self._port, *arguments, **options)


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port of 127.0.0.1 on which no process listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])
