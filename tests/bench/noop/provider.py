"""A provider for the benchmark: tasks that take a while, and a record of when each was done and when it was noticed.

    python -m tests.bench.noop.provider PORT SECONDS

``POST …`` creates a task, ``GET …?id=`` polls one, ``GET /figures`` returns the record. One process, asyncio, no
framework, so that it costs little compared with what is measured.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Provider:
    """Its tasks, each done ``seconds`` after it was made, give or take a tenth."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._done_at: dict[str, float] = {}
        self._noticed: dict[str, float] = {}
        self._polls = 0
        self._most = 0

    def figures(self) -> dict[str, Any]:
        """Return what was seen so far. ``delays`` are seconds from done to noticed."""
        return {
            "submitted": len(self._done_at),
            "noticed": len(self._noticed),
            "polls": self._polls,
            "most_in_flight": self._most,
            "delays": [self._noticed[task] - self._done_at[task] for task in self._noticed],
        }

    def answer(self, method: str, target: str) -> dict[str, Any]:
        """Return the reply to one request."""
        now = time.time()
        if target == "/figures":
            return self.figures()
        if method == "POST":
            task = f"t{len(self._done_at)}"
            self._done_at[task] = now + self._seconds * random.uniform(0.9, 1.1)
            self._most = max(self._most, len(self._done_at) - len(self._noticed))
            return {"task_id": task}
        self._polls += 1
        task = parse_qs(urlsplit(target).query)["id"][0]
        if now < self._done_at[task]:
            return {"task_id": task, "status": "PROCESSING"}
        self._noticed.setdefault(task, now)
        return {"task_id": task, "status": "COMPLETED", "url": "http://127.0.0.1/film.mp4"}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the client closes it."""
        try:
            while line := await reader.readline():
                method, target, _ = line.decode().split(" ", 2)
                length = 0
                while (header := await reader.readline()).strip():
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                if length:
                    await reader.readexactly(length)
                body = json.dumps(self.answer(method, target)).encode()
                head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def main(port: int, seconds: float) -> None:
    """Serve on 127.0.0.1 until killed."""
    server = await asyncio.start_server(Provider(seconds).serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
