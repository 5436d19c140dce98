"""A time limit for a whole exchange; the client library only limits each read.

A server that sends a byte every few seconds never exceeds a read timeout (slow loris). It does exceed a deadline that
is shared by every read, write and handshake of the connection.
"""

from __future__ import annotations

import ssl
import time
from typing import Any

import httpcore2


class Deadline:
    """A time on the monotonic clock, ``seconds`` from now; never with ``None``."""

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else time.monotonic() + seconds

    def limit(self, timeout: float | None) -> float | None:
        """Return the time one operation may take in seconds: its timeout or the time left, at least zero."""
        if self._at is None:
            return timeout
        left = max(0.0, self._at - time.monotonic())
        return left if timeout is None else min(timeout, left)

    def share(self, parts: int) -> float | None:
        """Return an equal part of the seconds left, so that a dead address leaves time for the next."""
        left = self.limit(None)
        return None if left is None else left / parts


class DeadlineStream(httpcore2.NetworkStream):
    """A connection whose operations all end by the deadline."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        try:
            left = self._left(timeout, httpcore2.ConnectTimeout)
        except httpcore2.ConnectTimeout:
            self.close()
            raise
        return DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _left(self, timeout: float | None, expired: type[httpcore2.TimeoutException]) -> float | None:
        left = self._deadline.limit(timeout)
        if left is not None and left <= 0:
            # A socket with a timeout of zero is non-blocking, which would raise another error.
            raise expired("the whole exchange took too long")
        return left
