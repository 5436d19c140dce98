"""Opening a file that must lie beneath a folder, whatever links are put in its way meanwhile."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


#: What open() says of a link, a file in place of a folder, a socket and a device without a driver.
_NOT_REGULAR = (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.ENODEV)


class NotRegular(OSError):
    """It is a folder, a link, a FIFO or a device, and no file."""


def open_beneath(folder: Path, relative: Path) -> BufferedReader:
    """The regular file ``folder/relative``, open for reading; no part of ``relative`` is a symbolic link.

    Every step is opened relative to the last one, so a folder that is replaced by a link in between
    is refused and not followed.

    Raises:
        NotRegular: it is no regular file, or a link is in the way.
        OSError: it is missing or may not be read.
    """
    if relative.is_absolute() or not relative.parts or ".." in relative.parts:
        raise NotRegular(f"not beneath its folder: {relative.name!r}")
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in relative.parts[:-1]:
            below = _step(part, _FOLDER, here)
            os.close(here)
            here = below
        found = _step(relative.parts[-1], _FILE, here)
    finally:
        os.close(here)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise NotRegular("not a regular file")
    return os.fdopen(found, "rb")


def _step(part: str, flags: int, here: int) -> int:
    try:
        return os.open(part, flags, dir_fd=here)
    except OSError as error:
        if error.errno in _NOT_REGULAR:
            raise NotRegular(error.errno, "not a regular file") from None
        if error.errno == errno.ENAMETOOLONG:
            raise FileNotFoundError(error.errno, "no file can have this name") from None
        raise
