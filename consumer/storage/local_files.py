"""Opening files on this machine safely, and ``file:///…`` inputs (embedded mode, inside allowed folders only)."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from urllib.parse import unquote, urlsplit

from consumer.storage.atomic_copy import check_size, chunks_of, copy_whole
from consumer.storage.base import Fetched
from schemas.errors import InputForbidden, InputNotFound

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Without O_NONBLOCK, opening a FIFO would block until it has a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: The errors of open() for a link, a file in place of a folder, a folder, a socket and a device without a driver.
_NOT_REGULAR = (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.ENODEV)


class NotRegular(OSError):
    """It is a folder, a link, a FIFO, a socket or a device, not a regular file."""


def fetch_file(uri: str, into: Path, limit_bytes: int, allowed: Sequence[Path]) -> Fetched:
    """Copy the local file to ``into``. A crash leaves no file of that name.

    Links are resolved first, so a link that leads out of the allowed folders is refused.

    Raises:
        InputForbidden: it is outside the allowed folders or is not a regular file.
        InputNotFound: it does not exist.
        InputTooLarge: it is larger than ``limit_bytes``.
    """
    path = _path_in(uri)
    roots = [Path(os.path.realpath(folder)) for folder in allowed]
    real = Path(os.path.realpath(path))
    root = next((root for root in roots if real.is_relative_to(root)), None)
    if root is None:
        named = ", ".join(map(str, allowed)) or "none"
        raise InputForbidden(
            f"The input file is outside the folders that this worker may read ({named}). Move it there, or add its "
            "folder to TELECINE_ALLOWED_INPUT_FOLDERS."
        )
    with _open_input(root, real) as source:
        size = os.fstat(source.fileno()).st_size
        check_size(size, limit_bytes)
        return copy_whole(chunks_of(source), into, limit_bytes=limit_bytes, expected_bytes=size)


def open_beneath(folder: Path, relative: Path) -> BufferedReader:
    """Open the regular file ``folder/relative`` for reading; no part of ``relative`` may be a symbolic link.

    Each path component is opened relative to the one before, so a folder that is replaced by a link in the meantime is
    refused instead of followed.

    Raises:
        NotRegular: it is not a regular file, or a part of the path is a link.
        OSError: it is missing or may not be read.
    """
    if relative.is_absolute() or not relative.parts or ".." in relative.parts:
        raise NotRegular(f"not below its folder: {relative.name!r}")
    current = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in relative.parts[:-1]:
            below = _open_component(part, _FOLDER, current)
            os.close(current)
            current = below
        found = _open_component(relative.parts[-1], _FILE, current)
    finally:
        os.close(current)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise NotRegular("not a regular file")
    return os.fdopen(found, "rb")


def _open_component(part: str, flags: int, folder: int) -> int:
    try:
        return os.open(part, flags, dir_fd=folder)
    except OSError as error:
        if error.errno in _NOT_REGULAR:
            raise NotRegular(error.errno, "not a regular file") from None
        if error.errno == errno.ENAMETOOLONG:
            raise FileNotFoundError(error.errno, "no file can have this name") from None
        raise


def _open_input(root: Path, real: Path) -> BufferedReader:
    try:
        return open_beneath(root, real.relative_to(root))
    except NotRegular:
        raise InputForbidden("The input is not a regular file. Folders, pipes and devices are refused.") from None
    except FileNotFoundError:
        raise InputNotFound("The input file does not exist. Put it in place before sending the request.") from None
    except PermissionError:
        raise InputForbidden("The input file may not be read. Grant the worker read access.") from None


def _path_in(uri: str) -> str:
    parts = urlsplit(uri)
    path = unquote(parts.path, errors="surrogateescape")
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        raise InputForbidden("Name a local input as file:///absolute/path.")
    if parts.query or parts.fragment:
        raise InputForbidden("Write `?` as %3F and `#` as %23 in the name of a local input.")
    return path
