"""Object keys as file paths, one to one; an ordinary key looks like itself.

    orders/1042/video.mp4   orders/1042/video.mp4
    a/../b                  a/%2E%2E/b
    /a//b/                  %/a/%/b/%
    100%                    100%25
    a segment of 300 bytes  its first 200 bytes or so, "%~", and the rest in that folder

A percent sign in a key is always encoded, so any other name with one was made here.
"""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath
from urllib.parse import unquote_to_bytes

#: File systems allow names of 255 bytes. The rest of a longer segment is the name of a file or folder inside.
SEGMENT_BYTES = 240
#: Names that are used as they are; most are of this kind.
_ORDINARY = re.compile(rf"[A-Za-z0-9_-](?:[A-Za-z0-9._-]{{0,{SEGMENT_BYTES - 2}}}[A-Za-z0-9_-])?")
_EMPTY = "%"
_CONTINUED = "%~"


def path_of(key: str) -> PurePosixPath:
    """Return the relative path of ``key``. It never leaves its folder, and no other key has it."""
    return PurePosixPath(*(name for segment in key.split("/") for name in _names(segment)))


def key_of(path: PurePosixPath) -> str:
    """Return the key of ``path``; the inverse of ``path_of``."""
    segments: list[str] = []
    begun = ""
    for name in path.parts:
        if name.endswith(_CONTINUED):
            begun += name.removesuffix(_CONTINUED)
        else:
            # The name of a file that a person created need not be UTF-8.
            whole = unquote_to_bytes(os.fsencode(begun + name)).decode(errors="surrogateescape")
            segments.append("" if name == _EMPTY else whole)
            begun = ""
    return "/".join(segments)


def bucket_folder(bucket: str) -> str:
    """Return the folder of a bucket. Names that begin with a dot are reserved for Telecine's own files."""
    return "%2E" + bucket[1:] if bucket.startswith(".") else bucket


def _names(segment: str) -> list[str]:
    if not segment:
        return [_EMPTY]
    if _ORDINARY.fullmatch(segment):
        return [segment]
    names = [""]
    for index, character in enumerate(segment):
        written = _written(character, only_dots=segment in (".", ".."), last=index == len(segment) - 1)
        if len((names[-1] + written).encode()) > SEGMENT_BYTES:
            names[-1] += _CONTINUED
            names.append("")
        names[-1] += written
    return names


def _written(character: str, *, only_dots: bool, last: bool) -> str:
    # Control and bidirectional characters can disguise a name; Windows shares drop dots and spaces at its end.
    unsafe = character == "%" or not character.isprintable() or (last and character in ". ") or only_dots
    return "".join(f"%{byte:02X}" for byte in character.encode()) if unsafe else character
