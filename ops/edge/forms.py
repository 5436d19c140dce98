"""Bodies of HTTP calls, read while they come in: JSON, forms, and files that go to disk as they arrive."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request as HttpRequest

from ops.edge.refusal import Refusal
from pipelines.media.inspect.sniff import HEAD_BYTES
from schemas.errors import InputTooLarge, InvalidJson
from schemas.strict_json import parse_object

#: Most bytes of all text fields of a form, as of a request on the queue.
_TEXT_BYTES = 256 * 1024
_MOST_PARTS = 64
#: A client that sends more slowly occupies its connection for nothing.
_SLOWEST_BYTES_PER_SECOND = 1000
#: What the boundaries and headers of a form may take.
_FRAME_BYTES = 64 * 1024

JSON, MULTIPART, URLENCODED = "application/json", "multipart/form-data", "application/x-www-form-urlencoded"


@dataclass(slots=True)
class Upload:
    """A received file in the scratch folder."""

    path: Path
    #: In bytes.
    size: int = 0
    #: Its first bytes, which say what kind of file it is.
    head: bytes = b""
    _digest: Any = field(default_factory=hashlib.sha256)

    @property
    def sha256(self) -> str:
        """The digest of what was received."""
        return str(self._digest.hexdigest())

    def add(self, sink: BinaryIO, data: bytes, limit_bytes: int) -> None:
        """Write a piece of the file.

        Raises:
            InputTooLarge: The file is larger than ``limit_bytes``.
        """
        self.size += len(data)
        if self.size > limit_bytes:
            raise InputTooLarge(f"File too large: at most {limit_bytes:,} bytes are allowed")
        if len(self.head) < HEAD_BYTES:
            self.head += data[: HEAD_BYTES - len(self.head)]
        self._digest.update(data)
        sink.write(data)


@dataclass(slots=True)
class Form:
    """The fields of a form. Empty fields and empty files are absent."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)


def content_type(request: HttpRequest) -> str:
    """Return the media type of the body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def pieces(request: HttpRequest, limit_bytes: int, idle_seconds: float) -> AsyncIterator[bytes]:
    """Yield the body as it comes in.

    Raises:
        InputTooLarge: It is, or claims to be, larger than ``limit_bytes``.
        Refusal: The client sent nothing for ``idle_seconds``, or sends too slowly for longer than that.
    """
    claimed = request.headers.get("content-length", "")
    if claimed.isdigit() and int(claimed) > limit_bytes:
        raise InputTooLarge(f"File too large: the body has {int(claimed):,} bytes, at most {limit_bytes:,} are allowed")
    total, stream, begun = 0, request.stream(), time.monotonic()
    while True:
        late = begun + idle_seconds + total / _SLOWEST_BYTES_PER_SECOND - time.monotonic()
        try:
            piece = await asyncio.wait_for(anext(stream), min(idle_seconds, late))
        except StopAsyncIteration:
            return
        except TimeoutError:
            spent = time.monotonic() - begun
            message = f"the body was not received in time: {total:,} bytes in {spent:.0f} s"
            raise Refusal(408, "body_timeout", message) from None
        total += len(piece)
        if total > limit_bytes:
            raise InputTooLarge(f"File too large: the body has more than {limit_bytes:,} bytes")
        yield piece


async def read_object(request: HttpRequest, limit_bytes: int, idle_seconds: float) -> dict[str, Any]:
    """Return the JSON object in the body.

    Raises:
        RequestError: It is not one, or too large.
    """
    body = b"".join([piece async for piece in pieces(request, limit_bytes, idle_seconds)])
    if not body.strip():
        raise InvalidJson("the body is empty; send one JSON object")
    return parse_object(body, limit_bytes=limit_bytes)


async def read_file(request: HttpRequest, path: Path, limit_bytes: int, idle_seconds: float) -> Upload:
    """Write the body to ``path``."""
    upload = Upload(path)
    with path.open("xb") as sink:
        async for piece in pieces(request, limit_bytes, idle_seconds):
            upload.add(sink, piece, limit_bytes)
    return upload


async def read_form(request: HttpRequest, folder: Path, files: Mapping[str, int], idle_seconds: float) -> Form:
    """Read a form of either kind. ``files`` has the size limit of each field that holds a file.

    Raises:
        Refusal: The body is not a whole form.
        InputTooLarge: A file or the form is too large.
    """
    kind = content_type(request)
    if kind == URLENCODED:
        body = b"".join([piece async for piece in pieces(request, _TEXT_BYTES, idle_seconds)])
        return Form({name: value for name, value in parse_qsl(body.decode(errors="replace")) if value})
    if kind != MULTIPART:
        raise Refusal(415, "unsupported_media_type", f"send the parameters as {MULTIPART}")
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")
    reader = _PartReader(folder, files)
    try:
        parser = MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]
        limit = sum(files.values()) + _TEXT_BYTES + _FRAME_BYTES
        async for piece in pieces(request, limit, idle_seconds):
            parser.write(piece)
    except FormParserError:
        raise Refusal(400, "invalid_form", "the body is not valid multipart/form-data") from None
    finally:
        reader.close()
    if not reader.ended:
        raise Refusal(400, "invalid_form", "the form ends before its last boundary")
    return reader.form


class _PartReader:
    """Collects the parts of a multipart form: text in memory, files on the disk."""

    def __init__(self, folder: Path, files: Mapping[str, int]) -> None:
        self.form = Form()
        self.ended = False
        self._folder, self._files = folder, files
        self._parts = self._text_bytes = 0
        self._header = self._value = b""
        self._name = ""
        self._text = bytearray()
        self._upload: Upload | None = None
        self._sink: BinaryIO | None = None

    def callbacks(self) -> dict[str, Any]:
        """Return what the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._open,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._whole,
        }

    def close(self) -> None:
        """Close the file that is being written."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise Refusal(400, "invalid_form", f"a form has at most {_MOST_PARTS} fields")
        self._name, self._text, self._upload = "", bytearray(), None
        self._header = self._value = b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._name = parse_options_header(self._value)[1].get(b"name", b"").decode(errors="replace")
        self._header = self._value = b""

    def _open(self) -> None:
        # By the field and not by the part's file name: one client sends its lyrics as a file.
        if self._name in self._files:
            self._upload = Upload(self._folder / f"{self._parts}.part")
            self._sink = self._upload.path.open("xb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        piece = data[start:end]
        if self._upload is not None and self._sink is not None:
            self._upload.add(self._sink, piece, self._files[self._name])
            return
        self._text_bytes += len(piece)
        if self._text_bytes > _TEXT_BYTES:
            raise InputTooLarge(f"File too large: the text fields have more than {_TEXT_BYTES:,} bytes")
        self._text += piece

    def _end(self) -> None:
        self.close()
        if self._upload is not None and self._upload.size:
            self.form.files[self._name] = self._upload
        elif self._upload is None and self._name and self._text:
            self.form.fields[self._name] = self._text.decode(errors="replace")

    def _whole(self) -> None:
        self.ended = True
