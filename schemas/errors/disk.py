"""Faults of the disk that a worker works on: temporary, and never a fault of the media."""

from __future__ import annotations

import errno
import os

from schemas.errors.media import StorageUnavailable

FULL = (errno.ENOSPC, errno.EDQUOT)
#: A failed disk is remounted read-only; a network share has disappeared.
BROKEN = (errno.EROFS, errno.EIO, errno.ESTALE)


def as_disk_error(error: BaseException) -> StorageUnavailable | None:
    """Return the error to record if the worker's disk is full, read-only or broken; otherwise ``None``."""
    number = error.errno if isinstance(error, OSError) else None
    if number in FULL:
        return StorageUnavailable(
            "The worker has no disk space left for this job. Free some space; will retry.", outage=True
        )
    if number is not None and number in BROKEN:
        return StorageUnavailable(f"The worker's disk cannot be used: {os.strerror(number)}. Will retry.", outage=True)
    return None
