"""Write a stream to a file with a size limit, hashing it on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import BinaryIO

from schemas.errors import InputTooLarge


def bounded_copy(pieces: Iterable[bytes], sink: BinaryIO, limit_bytes: int, too_large: str) -> tuple[int, str]:
    """Write ``pieces`` to ``sink``; return their size in bytes and their SHA-256 in hexadecimal.

    Raises:
        InputTooLarge: there are more than ``limit_bytes``, with the message ``too_large``.
    """
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        size += len(piece)
        if size > limit_bytes:
            raise InputTooLarge(too_large)
        digest.update(piece)
        sink.write(piece)
    return size, digest.hexdigest()
