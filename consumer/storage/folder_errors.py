"""What the operating system says when a folder is written, in Telecine's words."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from consumer.storage.safe_open import NotRegular
from schemas.errors import ConfigurationError, OutputExists, OutputForbidden, StorageUnavailable

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES,)
#: A disk that has failed is mounted read-only; a network share goes away and comes back.
_PASSING = (errno.EROFS, errno.EIO, errno.ESTALE, errno.ETIMEDOUT)
_NO_LINKS = (errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP)


@contextlib.contextmanager
def writing(uri: str) -> Iterator[None]:
    """Turns an error about writing ``uri`` into one that says what to do; others pass."""
    try:
        yield
    except (NotADirectoryError, IsADirectoryError, NotRegular):
        raise OutputExists(
            f"{uri} needs a folder where a file is, or a file where a folder is. Choose another `output`.",
            field="output",
        ) from None
    except OSError as error:
        if error.errno in _FULL:
            raise StorageUnavailable("The disk with the storage folder is full. It is tried again.") from None
        if error.errno in _PASSING:
            raise StorageUnavailable(
                f"The storage folder cannot be written just now: {os.strerror(error.errno)}. It is tried again."
            ) from None
        if error.errno in _FORBIDDEN:
            raise OutputForbidden(f"{uri} may not be written. Grant write access or change `output`.") from None
        if error.errno in _NO_LINKS:
            raise ConfigurationError("The storage folder has to lie on one file system that has hard links.") from None
        raise
