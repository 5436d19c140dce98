"""A small HTTP/1.1 server that can also drop, reset, cut and stall connections, which no framework allows.

It runs asyncio in a thread of its own and keeps connections alive between requests, so that it can serve a poller
with thousands of tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import weakref
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

_LARGEST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """A request. Header names are in lower case; if a query parameter repeats, the last value is kept."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the parsed body, or an empty object if there is none."""
        return json.loads(self.body) if self.body else {}

    def parts(self) -> dict[str, bytes]:
        """Return the parts of a multipart form by name; ``files`` has the file names."""
        return {name: part.get_payload(decode=True) or b"" for name, part in self._multipart()}  # type: ignore[misc]

    def files(self) -> dict[str, tuple[str, str]]:
        """Return the file name and content type of each part that is a file."""
        return {
            name: (found, part.get_content_type())
            for name, part in self._multipart()
            if (found := part.get_filename()) is not None
        }

    def _multipart(self) -> list[tuple[str, Message]]:
        head = f"content-type: {self.headers.get('content-type', '')}\r\n\r\n".encode()
        message = BytesParser().parsebytes(head + self.body)
        payload = message.get_payload()
        found = [part for part in payload if isinstance(part, Message)] if isinstance(payload, list) else []
        return [(str(part.get_param("name", "", "content-disposition")), part) for part in found]


@dataclass(frozen=True, slots=True)
class Reply:
    """A response.

    ``fate`` ``drop`` closes without sending, ``reset`` sends a TCP reset, ``cut`` closes in the middle of the body, and
    ``stall`` sends nothing more from there.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    fate: Literal["send", "drop", "reset", "cut", "stall"] = "send"

    @staticmethod
    def of(value: Any, status: int = 200, **headers: str) -> Reply:
        """Return a JSON reply; underscores in header names become dashes."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return Reply(status, json.dumps(value).encode(), {"content-type": "application/json", **named})

    @staticmethod
    def text(words: str, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> Reply:
        """Return a reply that is not JSON."""
        return Reply(status, words.encode(), {"content-type": content_type})


Handler = Callable[[Seen], Awaitable[Reply]]


class Server:
    """An HTTP server that answers with ``handler``. A context manager."""

    def __init__(self, handler: Handler, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._handler = handler
        self._socket = socket.create_server((host, port), backlog=1024)
        self._loop = asyncio.new_event_loop()
        self._done = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="double", daemon=True)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://{self._socket.getsockname()[0]}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(10)
        self._socket.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        tasks: set[asyncio.Task[None]] = set()  # a loop holds no strong reference to its tasks
        transports: weakref.WeakSet[asyncio.WriteTransport] = weakref.WeakSet()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            transports.add(writer.transport)
            task = self._loop.create_task(self._connection(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, sock=self._socket, limit=256 * 1024)
        self._ready.set()
        await self._done.wait()
        # Stop accepting, then let accepted connections become transports: otherwise they would stay open.
        self._loop.remove_reader(self._socket)
        await asyncio.sleep(0.01)
        server.close()
        # Abort connections whose client does not read, too.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for transport in transports:
                transport.abort()
            for task in others:
                task.cancel()
            await asyncio.wait(others, timeout=1)
        for transport in transports:
            transport.abort()
        await asyncio.sleep(0.01)  # a transport closes its socket at the loop's next turn

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                while (seen := await _read(reader)) is not None:
                    if not await _send(writer, await self._answer(seen), head=seen.method == "HEAD"):
                        break
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, seen: Seen) -> Reply:
        try:
            return await self._handler(seen)
        except Exception as error:  # a bug in the double: the test sees it in the response
            return Reply.text(f"the double broke: {error!r}", 599)


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, _, rest = head.partition(b"\r\n")
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers = {name.lower(): value for name, value in BytesHeaderParser().parsebytes(rest).items()}
    if "chunked" in headers.get("transfer-encoding", ""):
        body = await _chunks(reader)
    else:
        body = await reader.readexactly(min(int(headers.get("content-length") or 0), _LARGEST))
    parts = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    return Seen(method, parts.path, query, headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body


async def _send(writer: asyncio.StreamWriter, reply: Reply, *, head: bool = False) -> bool:
    """Send the reply; return whether the connection stays open."""
    if reply.fate == "reset":
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    if reply.fate in ("reset", "drop"):
        return False
    lines = [f"HTTP/1.1 {reply.status} x", f"content-length: {len(reply.body)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    body = reply.body if reply.fate == "send" else reply.body[: len(reply.body) // 2]
    writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if head else body))
    await writer.drain()
    if reply.fate == "stall":
        await asyncio.sleep(600)
    return reply.fate == "send"
