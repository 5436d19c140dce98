"""Copying a stream of bytes into a file, whole or not at all."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from consumer.storage.base import Fetched, ObjectFacts, replaced
from providers.http.bounded_copy import bounded_copy
from schemas.errors import ChecksumMismatch, InputTooLarge, InputUnavailable
from schemas.reference import Pin

CHUNK_BYTES = 1 << 20


def chunks_of(source: BinaryIO) -> Iterator[bytes]:
    """The bytes of an open file, a piece at a time."""
    while piece := source.read(CHUNK_BYTES):
        yield piece


def check_unchanged(path: Path, facts: ObjectFacts) -> bytes:
    """The MD5 of the file at ``path``, which is still the file that ``facts`` speak of.

    Raises:
        ChecksumMismatch: it is not.
    """
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with path.open("rb") as source:
        for piece in chunks_of(source):
            md5.update(piece)
            sha256.update(piece)
            size += len(piece)
    if (size, sha256.hexdigest()) != (facts.bytes, facts.sha256):
        raise ChecksumMismatch("The file changed on this machine after it was made. It is made again.")
    return md5.digest()


def pinned(uri: str, pin: Pin | None) -> Callable[[Fetched], None]:
    """A check for ``copy_whole``, for places whose ETag is the SHA-256.

    It raises InputReplaced if what was copied is not what ``pin`` is about.
    """

    def check(fetched: Fetched) -> None:
        if pin is not None and pin.etag not in (None, fetched.sha256):
            raise replaced(uri, pin)

    return check


def check_size(size: int, limit_bytes: int) -> None:
    """Raises InputTooLarge if ``size`` is over the limit."""
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
    """The file ``into``, written under another name first and renamed when it is whole.

    A crash here leaves a hidden ``.part`` file and nothing of the name ``into``. ``check`` may refuse the file
    before it has that name.

    Raises:
        InputTooLarge: there is more than ``limit_bytes``; never more than that is written.
        InputUnavailable: the stream ended early or went on for too long.
        ChecksumMismatch: the bytes are not those of ``sha256``, where that is known.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    part = into.parent / f".{uuid.uuid4().hex}.part"
    try:
        fetched = _write(pieces, part, limit_bytes)
        if fetched.bytes != expected_bytes:
            raise InputUnavailable(f"The input broke off: {fetched.bytes:,} of {expected_bytes:,} bytes arrived")
        if sha256 not in (None, fetched.sha256):
            raise ChecksumMismatch("The stored object holds other bytes than Telecine wrote.")
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
