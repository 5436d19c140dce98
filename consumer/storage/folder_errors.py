"""The operating system's errors about writing into the storage folder, as errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from consumer.storage.local_files import NotRegular
from schemas.errors import ConfigurationError, OutputExists, StorageUnavailable

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES,)
#: A failed disk is remounted read-only; a network share disappears and comes back.
_TEMPORARY = (errno.EROFS, errno.EIO, errno.ESTALE, errno.ETIMEDOUT)
_NO_LINKS = (errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP)


@contextlib.contextmanager
def writing(uri: str) -> Iterator[None]:
    """Turn the operating system's errors about writing ``uri`` into errors that say what to do; others pass."""
    try:
        yield
    except (NotADirectoryError, IsADirectoryError, NotRegular):
        raise OutputExists(
            f"{uri} needs a folder where a file is, or a file where a folder is. Choose another `output`.",
            field="output",
        ) from None
    except OSError as error:
        if error.errno in _FULL:
            raise StorageUnavailable("The disk with the storage folder is full. Will retry.", outage=True) from None
        if error.errno in _TEMPORARY:
            raise StorageUnavailable(
                f"The storage folder cannot be written: {os.strerror(error.errno)}. Will retry.", outage=True
            ) from None
        if error.errno in _FORBIDDEN:
            reason = f"{uri} may not be written: grant this user write access to the storage folder. Will retry."
            raise StorageUnavailable(reason, outage=True) from None
        if error.errno in _NO_LINKS:
            raise ConfigurationError("The storage folder has to be on one file system that has hard links.") from None
        raise
