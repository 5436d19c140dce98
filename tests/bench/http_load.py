"""Many HTTP calls at once over kept connections, at little cost for the machine that is measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit


def post(path: str, content_type: str, body: bytes) -> bytes:
    """Return the bytes of a POST."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def get(path: str) -> bytes:
    """Return the bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def rate(url: str, make: Callable[[], bytes], count: int, connections: int) -> float:
    """Make so many calls and return how many were answered a second.

    Raises:
        RuntimeError: One was not successful.
    """
    left = (make() for _ in range(count))
    begun = time.perf_counter()
    await asyncio.gather(*(_make(url, left) for _ in range(connections)))
    return count / (time.perf_counter() - begun)


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection."""
    place = urlsplit(url)
    return await asyncio.open_connection(place.hostname, place.port)


async def answer(reader: asyncio.StreamReader) -> bytes:
    """Read one response with a length, and return its body.

    Raises:
        RuntimeError: The call was not successful.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().splitlines()
    size = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
    body = await reader.readexactly(size)
    if lines[0].split()[1][0] != "2":
        raise RuntimeError(f"{lines[0]}: {body[:500]!r}")
    return body


async def _make(url: str, left: Iterable[bytes]) -> None:
    reader, writer = await connect(url)
    for call in left:
        writer.write(call)
        await writer.drain()
        await answer(reader)
    writer.close()
