"""Read the head of a response leniently: one malformed header must not cost the whole response.

h11 refuses a response with a single malformed header line, such as a name with a space in it. Browsers and other
clients skip such a line. A callback that its receiver has accepted would then be sent again for three days, and a paid
call would be lost with its task id. So this module corrects the head before h11 parses it: white space before a colon
and control characters are removed (RFC 9112, section 5.1), other malformed lines are dropped.

A head that h11 refuses for another reason, such as a contradictory length, still has a status. ``status_listener``
receives it.
"""

from __future__ import annotations

import functools
import re
import select
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import httpcore2

#: Maximum size of a head that is corrected, and of a callback's response headers. (h11's own limit is 100 KiB.)
MOST_HEADER_BYTES = 32 * 1024

#: Called in the requesting task or thread with the status of each complete head, interim responses excluded.
status_listener: ContextVar[Callable[[int], None] | None] = ContextVar("status_listener", default=None)

_END = re.compile(rb"\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.[01] +([1-9][0-9]{2})(?![0-9])")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*:(.*)", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class HeadReader:
    """Corrects the response heads of one connection. Give it every write and every chunk that was read."""

    def __init__(self) -> None:
        self._head: bytearray | None = bytearray()

    def sent(self) -> None:
        """Note that request bytes were sent: the next bytes that arrive are the head of a response."""
        if self._head is None:
            self._head = bytearray()

    def received(self, data: bytes) -> bytes:
        """Return what the parser may have of the bytes so far; empty while a head is incomplete.

        No data means the end of the connection: the incomplete head is returned as it is.
        """
        if self._head is None:
            return data
        self._head += data
        passed = b""
        while (found := _END.search(self._head)) is not None and found.end() <= MOST_HEADER_BYTES:
            head, rest = bytes(self._head[: found.end()]), self._head[found.end() :]
            status = _STATUS.match(head)
            passed += corrected(head) if status else head
            if status is None or not status[1].startswith(b"1") or status[1] == b"101":
                self._head = None
                if status is not None and (listener := status_listener.get()) is not None:
                    listener(int(status[1]))
                return passed + bytes(rest)
            self._head = rest  # an interim response: another head follows
        if not data or len(self._head) > MOST_HEADER_BYTES:
            passed, self._head = passed + bytes(self._head), None
        return passed


def corrected(head: bytes) -> bytes:
    """Return the head, which ends with an empty line, without what h11 would refuse in its header lines.

    A head that was corrected also asks to close the connection: where the body ends is less certain then.
    """
    first, *lines = head.rstrip(b"\r\n").split(b"\n")
    kept: list[bytes] = []
    dropped = False
    for line in (line.removesuffix(b"\r") for line in lines):
        if line[:1] in (b" ", b"\t") and (kept or dropped):  # continues the line before
            if not dropped:
                kept.append(line[:1] + _CONTROL.sub(b" ", line[1:]))
            continue
        field = _FIELD.fullmatch(line)
        dropped = field is None
        if field is not None:
            kept.append(field[1] + b":" + _CONTROL.sub(b" ", field[2]))
    if kept == [line.removesuffix(b"\r") for line in lines]:
        return head
    return b"\r\n".join([first.removesuffix(b"\r"), *kept, b"Connection: close", b"", b""])


class HeadStream(httpcore2.NetworkStream):
    """A connection whose response heads are corrected while they are read."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream
        self._heads = HeadReader()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            data = self._stream.read(max_bytes, timeout)
            passed = self._heads.received(data)
            if passed or not data:
                return passed

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._heads.sent()
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return HeadStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class AsyncHeadStream(httpcore2.AsyncNetworkStream):
    """``HeadStream`` for asyncio."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._heads = HeadReader()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            data = await self._stream.read(max_bytes, timeout)
            passed = self._heads.received(data)
            if passed or not data:
                return passed

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._heads.sent()
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        return AsyncHeadStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        # A pool asks each idle connection with each request, and looking the socket up takes longest.
        if info == "is_readable" and (socket := self._socket) is not None:
            return socket.fileno() < 0 or bool(self._poll.poll(0))
        return self._stream.get_extra_info(info)

    @functools.cached_property
    def _socket(self) -> Any:
        return self._stream.get_extra_info("socket")

    @functools.cached_property
    def _poll(self) -> select.poll:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return poll
