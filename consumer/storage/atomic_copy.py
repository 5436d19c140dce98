"""Copying a stream of bytes into a file, completely or not at all."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from consumer.storage.base import Fetched, ObjectFacts, input_replaced
from providers.http.bounded_copy import bounded_copy
from schemas.errors import ChecksumMismatch, InputTooLarge, InputUnavailable
from schemas.reference import Pin

CHUNK_BYTES = 1 << 20


def chunks_of(source: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of an open file in chunks."""
    while piece := source.read(CHUNK_BYTES):
        yield piece


def section_of(source: BinaryIO, start: int, length: int) -> Iterator[bytes]:
    """Yield ``length`` bytes of an open file from the byte ``start``, in chunks, and close it."""
    with source:
        source.seek(start)
        while length > 0 and (piece := source.read(min(length, CHUNK_BYTES))):
            length -= len(piece)
            yield piece


def check_unchanged(path: Path, facts: ObjectFacts) -> bytes:
    """Check that the file at ``path`` still has the size and SHA-256 in ``facts``, and return its MD5.

    Raises:
        ChecksumMismatch: it has changed.
    """
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with path.open("rb") as source:
        for piece in chunks_of(source):
            md5.update(piece)
            sha256.update(piece)
            size += len(piece)
    if (size, sha256.hexdigest()) != (facts.bytes, facts.sha256):
        raise ChecksumMismatch("The file changed on this machine after it was made. Will make it again.")
    return md5.digest()


def pin_check(uri: str, pin: Pin | None) -> Callable[[Fetched], None]:
    """Return a ``check`` for ``copy_whole``, for storage whose ETag is the SHA-256.

    The check raises InputReplaced if the copied content is not the content of ``pin``.
    """

    def check(fetched: Fetched) -> None:
        if pin is not None and pin.etag not in (None, fetched.sha256):
            raise input_replaced(uri, pin)

    return check


def check_size(size: int, limit_bytes: int) -> None:
    """Check that ``size`` is within the limit.

    Raises:
        InputTooLarge: it is not.
    """
    if size > limit_bytes:
        raise InputTooLarge(f"File too large: {size:,} bytes, at most {limit_bytes:,} are allowed")


def copy_whole(
    pieces: Iterable[bytes],
    into: Path,
    *,
    limit_bytes: int,
    expected_bytes: int,
    sha256: str | None = None,
    check: Callable[[Fetched], None] = lambda fetched: None,
) -> Fetched:
    """Write ``pieces`` under a temporary name, and rename the file to ``into`` when it is complete.

    A crash leaves a hidden ``.part`` file and no file ``into``. ``check`` may refuse the file before it is renamed.

    Raises:
        InputTooLarge: there are more than ``limit_bytes``; no more than that is written.
        InputUnavailable: the number of bytes is not ``expected_bytes``.
        ChecksumMismatch: the bytes do not have the given ``sha256``.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    part = into.parent / f".{uuid.uuid4().hex}.part"
    try:
        fetched = _write(pieces, part, limit_bytes)
        if fetched.bytes != expected_bytes:
            raise InputUnavailable(f"The input is incomplete: received {fetched.bytes:,} of {expected_bytes:,} bytes")
        if sha256 not in (None, fetched.sha256):
            raise ChecksumMismatch("The stored object has different bytes than Telecine wrote.")
        check(fetched)
        part.replace(into)
    finally:
        part.unlink(missing_ok=True)
    return fetched


def _write(pieces: Iterable[bytes], part: Path, limit_bytes: int) -> Fetched:
    too_large = f"File too large: more than the {limit_bytes:,} bytes that are allowed"
    with part.open("xb") as sink:
        size, sha256 = bounded_copy(pieces, sink, limit_bytes, too_large)
    return Fetched(bytes=size, sha256=sha256)
