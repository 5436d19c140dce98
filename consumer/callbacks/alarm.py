"""What the outbox loop waits for: callbacks that were announced, a delivery that ended, or its next poll."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Self

from consumer.ledger import announcements
from consumer.ledger.database import Database
from consumer.logs import logger

log = logger(__name__)

#: The shortest time from one look to the next: callbacks that are announced meanwhile are claimed together.
PAUSE_SECONDS = 0.01
#: The time until a lost connection for notifications is opened again; until then the outbox polls.
RECONNECT_SECONDS = 5.0


class Alarm:
    """Interrupts a wait. Use it as an asynchronous context manager; only ``ring`` may be called from other threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rung = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None
        self._connection: Any = None
        self._closed = False
        self._waited = -PAUSE_SECONDS

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._listener = asyncio.create_task(self._listen())
        announcements.subscribe(self.ring)
        return self

    async def __aexit__(self, *_: object) -> None:
        announcements.unsubscribe(self.ring)
        if self._listener is not None:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener
        self._closed = True
        if self._connection is not None:
            self._connection.close()

    def ring(self) -> None:
        """End the current wait, or else the next one."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._rung.set)

    async def wait(self, seconds: float) -> None:
        """Wait until it rings, at most ``seconds``, but for the shortest pause since the last wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        await asyncio.sleep(self._waited + PAUSE_SECONDS - time.monotonic())
        self._rung.clear()
        self._waited = time.monotonic()

    async def _listen(self) -> None:
        """Ring at notifications of PostgreSQL, until cancelled."""
        while True:
            try:
                connection = await asyncio.to_thread(self._connect)
                if connection is None:
                    return
                self.ring()  # what was announced before is due now
                await self._until_lost(connection)
            except Exception as error:
                log.debug("outbox_does_not_listen", reason=type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)

    def _connect(self) -> Any:
        """Return a connection for notifications. One that is open only after the end is closed at once."""
        self._connection = self._database.listen()
        if self._closed and self._connection is not None:
            self._connection.close()
        return self._connection

    async def _until_lost(self, connection: Any) -> None:
        loop = asyncio.get_running_loop()
        lost = loop.create_future()
        descriptor = connection.fileno()

        def read() -> None:
            try:
                connection.pgconn.consume_input()
                while connection.pgconn.notifies() is not None:
                    self._rung.set()
            except Exception as error:
                loop.remove_reader(descriptor)
                if not lost.done():
                    lost.set_exception(error)

        # By the event loop: psycopg's own generator wakes up ten times a second.
        loop.add_reader(descriptor, read)
        try:
            await lost
        finally:
            loop.remove_reader(descriptor)
            connection.close()
