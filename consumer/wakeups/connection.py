"""What a worker reports to the process that started it: its connection to the broker, and callbacks that it queued."""

from __future__ import annotations

import contextlib
import os

from consumer.ledger import announcements

CONNECTED, NOT_CONNECTED, QUEUED = b"1", b"0", b"c"


class WorkerConnection:
    """The connection state of this process's worker. A supervisor can read it from a pipe."""

    def __init__(self) -> None:
        self.connected = False
        self._status_fd: int | None = None

    def report_to(self, status_fd: int, *, callbacks: bool) -> None:
        """Write a byte for each change of the connection to a descriptor, and with ``callbacks`` for each announcement.

        The worker's processes inherit it. A job does not wait for a supervisor that does not read.
        """
        os.set_blocking(status_fd, False)
        self._status_fd = status_fd
        if callbacks:
            announcements.subscribe(lambda: self._write(QUEUED))

    def change(self, *, connected: bool) -> None:
        """Record that the worker is connected, or no longer is."""
        self.connected = connected
        self._write(CONNECTED if connected else NOT_CONNECTED)

    def _write(self, status: bytes) -> None:
        if self._status_fd is not None:
            with contextlib.suppress(OSError):  # the supervisor is gone, and this process is about to end
                os.write(self._status_fd, status)


#: Changed by ``WakeUpConsumer``.
worker_connection = WorkerConnection()
