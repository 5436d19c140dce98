"""Whether this process's Celery worker is connected to its broker, for health checks."""

from __future__ import annotations

import contextlib
import os

CONNECTED, NOT_CONNECTED = b"1", b"0"


class WorkerConnection:
    """The connection state of this process's worker. A supervisor can read it from a pipe."""

    def __init__(self) -> None:
        self.connected = False
        self._status_fd: int | None = None

    def report_to(self, status_fd: int) -> None:
        """Write each change to a file descriptor: one byte, ``CONNECTED`` or ``NOT_CONNECTED``."""
        self._status_fd = status_fd

    def change(self, *, connected: bool) -> None:
        """Record that the worker is connected, or no longer is."""
        self.connected = connected
        if self._status_fd is not None:
            with contextlib.suppress(OSError):  # the supervisor is gone, and this process is about to end
                os.write(self._status_fd, CONNECTED if connected else NOT_CONNECTED)


#: Changed by ``WakeUpConsumer``.
worker_connection = WorkerConnection()
