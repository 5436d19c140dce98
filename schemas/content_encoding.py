"""Undo the compression of a message's body, as its headers declare it.

Brokers pass a content encoding on and leave the decoding to the consumer. AMQP's ``content-encoding`` also holds
character sets in practice, and clients such as kombu use a header ``compression`` instead.
A compressed body whose headers declare nothing is refused by name.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from schemas.errors import InvalidJson, MessageTooLarge

_HEADERS = ("content-encoding", "compression")
_ZLIB = frozenset({"gzip", "x-gzip", "application/x-gzip", "deflate", "zlib", "application/zlib"})
_PLAIN = frozenset({"", "identity", "none", "binary", "8bit", "7bit", "utf-8", "utf8", "us-ascii", "ascii"})
#: Window sizes for zlib: a header of gzip or zlib is detected, or there is none (deflate as some clients send it).
_WRAPPED, _RAW = 47, -15
#: The beginning of an AMQP 1.0 body that is not binary data: an ``amqp-value`` or ``amqp-sequence`` section.
_AMQP_SECTIONS = (
    b"\x00Sw",
    b"\x00Sv",
    b"\x00\x80\x00\x00\x00\x00\x00\x00\x00w",
    b"\x00\x80\x00\x00\x00\x00\x00\x00\x00v",
)
#: Compressed bodies by their first bytes, with which no JSON begins.
_COMPRESSED = {
    b"\x1f\x8b\x08": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
}
#: Each member starts a new decompressor; a request has one, a concatenated log a few.
_MOST_MEMBERS = 16
_ADVICE = "send it uncompressed, or with the content encoding gzip or deflate"


def declared_encoding(headers: Mapping[str, Any]) -> str | None:
    """Return the content encoding that the headers declare; ``None`` if the body is plain."""
    found = {lower: value for name, value in headers.items() if (lower := str(name).lower()) in _HEADERS}
    for name in _HEADERS if found else ():
        steps = [step.strip() for step in _text(found.get(name, "")).lower().split(",")]
        if encoding := ", ".join(step for step in steps if step not in _PLAIN):
            return encoding
    return None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def decoded(body: bytes, headers: Mapping[str, Any], *, limit_bytes: int) -> bytes:
    """Return the body without the compression that its headers declare.

    A body that is JSON although its headers say otherwise is returned as it is.

    Raises:
        MessageTooLarge: the body is longer than ``limit_bytes``, compressed or not.
        InvalidJson: the encoding is not supported, or the body is damaged.
    """
    if body.startswith(_AMQP_SECTIONS):
        raise InvalidJson(
            "the body is an AMQP 1.0 value or sequence; send the request's bytes in a data section "
            "(a binary body, such as a bytes or Buffer object instead of a string)"
        )
    encoding = declared_encoding(headers)
    if encoding is None and (found := next((_COMPRESSED[head] for head in _COMPRESSED if body.startswith(head)), None)):
        raise InvalidJson(f"the message is not UTF-8 but {found}, which no content encoding declares; {_ADVICE}")
    if encoding is None or len(body) > limit_bytes:  # the parser refuses a body that is too long
        return body
    if encoding not in _ZLIB:
        if _is_json(body):
            return body
        raise InvalidJson(f"the content encoding {encoding[:40]!r} is not supported; {_ADVICE}")
    unpacked = _inflate(body, _WRAPPED, limit_bytes)
    if unpacked is None and _is_json(body):
        return body
    unpacked = _inflate(body, _RAW, limit_bytes) if unpacked is None else unpacked
    if unpacked is None:
        raise InvalidJson(f"the body is not valid {encoding[:40]}, which its content encoding declares; {_ADVICE}")
    if len(unpacked) > limit_bytes:
        raise MessageTooLarge(
            f"the message has more than {limit_bytes:,} bytes when it is decompressed, which is the limit; "
            "put media in object storage and send its URI"
        )
    return unpacked


def _is_json(body: bytes) -> bool:
    return body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def _inflate(body: bytes, window: int, limit_bytes: int) -> bytes | None:
    """Return at most one byte more than the limit; ``None`` if the body is damaged. Gzip may have a few members."""
    unpacked = b""
    for _ in range(_MOST_MEMBERS):
        if not body:
            return unpacked
        inflate = zlib.decompressobj(window)
        try:
            unpacked += inflate.decompress(body, limit_bytes + 1 - len(unpacked))
        except zlib.error:
            return None
        if len(unpacked) > limit_bytes:
            return unpacked
        if not inflate.eof:
            return None
        body = inflate.unused_data
    return None
