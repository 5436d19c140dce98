"""Bytes of results as HTTP responses, with ranges."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from anyio.to_thread import run_sync
from starlette.background import BackgroundTask
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse

from consumer.storage.base import Storage
from ops.edge.refusal import Refusal
from schemas.errors import InputNotFound

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


async def content_response(
    http: HttpRequest,
    storage: Storage,
    output: dict[str, Any],
    *,
    file_name: str | None = None,
    headers: dict[str, str] | None = None,
    sent: Callable[[], object] | None = None,
) -> Response:
    """Return the file, or the one range that the client asks for.

    ``sent`` is called after the last byte of the whole file went out.
    """
    size, tag = int(output["bytes"]), f'"{output["sha256"]}"'
    known = {"accept-ranges": "bytes", "etag": tag, "x-content-type-options": "nosniff", **(headers or {})}
    if file_name is not None:
        known["content-disposition"] = f'attachment; filename="{file_name}"'
    if http.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=known)
    start, end = _wanted(http, size, tag)
    partial = (start, end) != (0, size)
    if partial:
        known["content-range"] = f"bytes {start}-{end - 1}/{size}"
    known["content-length"] = str(end - start)
    if http.method == "HEAD":
        return Response(status_code=206 if partial else 200, headers=known, media_type=output["content_type"])
    try:
        pieces = _Counted(await run_sync(storage.read, output["uri"], start, end - start))
    except InputNotFound:
        raise Refusal(410, "results_deleted", "the file was deleted") from None
    after = None if sent is None or partial else BackgroundTask(_if_whole, pieces, size, sent)
    return StreamingResponse(
        pieces, status_code=206 if partial else 200, headers=known, media_type=output["content_type"], background=after
    )


class _Counted:
    """An iterator of pieces that counts the bytes that were taken from it."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.bytes = 0
        self.ended = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            yield piece
            self.bytes += len(piece)
        self.ended = True


def _if_whole(pieces: _Counted, size: int, sent: Callable[[], object]) -> None:
    if pieces.ended and pieces.bytes == size:
        sent()


def _wanted(http: HttpRequest, size: int, tag: str) -> tuple[int, int]:
    """Return the first byte and the one after the last. Several ranges, and other units, mean the whole file.

    Raises:
        Refusal: The range begins after the end.
    """
    found = _RANGE.fullmatch(http.headers.get("range", "").replace(" ", ""))
    if found is None or http.headers.get("if-range", tag) != tag or not (found[1] or found[2]):
        return 0, size
    if not found[1]:
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), min(size, int(found[2]) + 1 if found[2] else size)
    if start >= size or end <= start:
        raise Refusal(416, "invalid_range", f"the file has {size:,} bytes", content_range=f"bytes */{size}")
    return start, end
