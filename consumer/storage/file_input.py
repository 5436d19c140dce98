"""Inputs named ``file:///…``, in embedded mode only, inside allowed folders only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path
from urllib.parse import unquote, urlsplit

from consumer.storage.atomic_copy import check_size, chunks_of, copy_whole
from consumer.storage.base import Fetched
from consumer.storage.safe_open import NotRegular, open_beneath
from schemas.errors import InputForbidden, InputNotFound


def fetch_file(uri: str, into: Path, limit_bytes: int, allowed: Iterable[Path]) -> Fetched:
    """The local file, copied to ``into``. A crash here leaves no file of that name.

    A link is followed first and judged by where it leads: a link out of an allowed folder is refused.

    Raises:
        InputForbidden: it lies outside the allowed folders or is no regular file.
        InputNotFound: there is nothing.
        InputTooLarge: it is larger than ``limit_bytes``.
    """
    path = _path_in(uri)
    roots = [Path(os.path.realpath(folder)) for folder in allowed]
    real = Path(os.path.realpath(path))
    root = next((root for root in roots if real.is_relative_to(root)), None)
    if root is None:
        raise InputForbidden("The input file lies outside the folders that this worker may read.")
    with _opened(root, real) as source:
        size = os.fstat(source.fileno()).st_size
        check_size(size, limit_bytes)
        return copy_whole(chunks_of(source), into, limit_bytes=limit_bytes, expected_bytes=size)


def _opened(root: Path, real: Path) -> BufferedReader:
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
        raise InputForbidden("A local input is named file:///absolute/path.")
    if parts.query or parts.fragment:
        raise InputForbidden("Write `?` as %3F and `#` as %23 in the name of a local input.")
    return path
