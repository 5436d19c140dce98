"""Where the folder storage writes down whose an object is: hidden files, one for each key and content.

A sidecar is written before its object appears and is found by the object's own SHA-256. So one that
was left by a crash describes nothing, and a file that somebody put over an object has no sidecar.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

#: Lock files; keys that share one wait for each other for no longer than one small write.
_LOCKS = 64


class Sidecars:
    """The sidecars below one folder, shared by threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def locked(self, bucket: str, key: str) -> Iterator[None]:
        """Nobody else writes this key meanwhile. The system frees the lock of a process that died."""
        path = self._folder / "locks" / f"{int(_name(bucket, key)[:8], 16) % _LOCKS:02}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def write(self, bucket: str, key: str, sha256: str, content_type: str, marks: dict[str, str]) -> None:
        """Writes the sidecar, whole and on the disk, in place of any that a crash left for this key."""
        self.forget(bucket, key)
        folder = self._of(bucket, key)
        make_folders(folder)
        part = folder / f".{uuid.uuid4().hex}"
        with part.open("xb") as sink:
            sink.write(json.dumps({"content_type": content_type, "marks": marks}).encode())
            sink.flush()
            os.fsync(sink.fileno())
        part.rename(folder / f"{sha256}.json")
        sync_folder(folder)

    def read(self, bucket: str, key: str, sha256: str) -> tuple[str, dict[str, str]] | None:
        """Content type and marks of the object with this content, or ``None`` if it is not Telecine's."""
        try:
            found = json.loads((self._of(bucket, key) / f"{sha256}.json").read_bytes())
        except FileNotFoundError:
            return None
        return str(found["content_type"]), {str(name): str(value) for name, value in found["marks"].items()}

    def forget(self, bucket: str, key: str) -> None:
        """Removes whatever is written down about this key."""
        shutil.rmtree(self._of(bucket, key), ignore_errors=True)

    def _of(self, bucket: str, key: str) -> Path:
        name = _name(bucket, key)
        return self._folder / "sidecars" / name[:2] / name


def _name(bucket: str, key: str) -> str:
    return hashlib.sha256(f"{bucket}/{key}".encode(errors="surrogateescape")).hexdigest()


def make_folders(folder: Path) -> None:
    """Makes ``folder`` and its parents, so that they are still there after a power cut."""
    if not folder.is_dir():
        make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Waits until the names in ``folder`` are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
