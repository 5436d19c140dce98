"""A TCP proxy that injects faults into any TCP protocol.

with FaultProxy(server.port) as proxy:
    proxy.fault = Fault(cut_after_bytes=1_000)
    ...                                   # talk to 127.0.0.1:proxy.port
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import struct
import threading
from types import TracebackType
from typing import Self


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """The faults of connections. Bytes are counted from server to client, per connection."""

    #: Delay of every chunk that the server sends.
    delay_seconds: float = 0.0
    #: The connection is closed normally after this many bytes of the response.
    cut_after_bytes: int | None = None
    #: The connection is reset after this many bytes of the response; 0 resets it before the first.
    reset_after_bytes: int | None = None
    #: No more bytes are forwarded in either direction, and the connection stays open.
    black_hole: bool = False
    #: New connections are reset at once.
    refuse: bool = False


class FaultProxy:
    """Forwards ``port`` to ``target_port`` on the loopback interface, in a thread of its own."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._done: asyncio.Event | None = None
        #: May be changed at any time; open connections are affected from the next chunk.
        self.fault = Fault()
        self.port = 0
        #: Number of connections so far.
        self.connections = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._done is not None
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(10)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._done = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(self._connection(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._done.wait()
        # A newly accepted connection must become a transport before the server closes, or it would stay open.
        self._loop.remove_reader(server.sockets[0])
        await asyncio.sleep(0.01)
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.fault.refuse:
            _reset(writer)
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            _reset(writer)
            return
        forward = asyncio.create_task(self._forward(reader, back))
        try:
            await self._answer(there, writer)
        finally:
            forward.cancel()
            await asyncio.gather(forward, _closed(writer), _closed(back), return_exceptions=True)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65_536):
                if not self.fault.black_hole:
                    sink.write(piece)
                    await sink.drain()
            sink.write_eof()

    async def _answer(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        sent = 0
        with contextlib.suppress(OSError):
            while piece := await source.read(65_536):
                fault = self.fault
                await asyncio.sleep(fault.delay_seconds)
                if fault.black_hole:
                    await asyncio.Event().wait()
                limits = [n for n in (fault.cut_after_bytes, fault.reset_after_bytes) if n is not None]
                allowed = max(min(limits) - sent, 0) if limits else len(piece)
                sink.write(piece[:allowed])
                await sink.drain()
                sent += len(piece)
                if limits and sent >= min(limits):
                    if fault.reset_after_bytes is not None:
                        _reset(sink)
                    return


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close the connection so that the other side gets ECONNRESET instead of end-of-file."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
