"""Hidden files in which the folder storage keeps the metadata of objects, one for each key and content.

A sidecar is written before its object and found by the object's SHA-256. So one that a crash left behind
describes nothing, and a file that replaced an object has no sidecar.
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

#: Number of lock files; keys that share one wait for each other for one small write at most.
_LOCKS = 64


class Sidecars:
    """The sidecars of one storage folder, shared by threads and processes."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder`` for the sidecars; it need not exist yet."""
        self._folder = folder

    @contextlib.contextmanager
    def locked(self, bucket: str, key: str) -> Iterator[None]:
        """Lock the key for writing. The system releases the lock of a process that dies."""
        path = self._folder / "locks" / f"{int(_name(bucket, key)[:8], 16) % _LOCKS:02}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def write(self, bucket: str, key: str, sha256: str, content_type: str, metadata: dict[str, str]) -> None:
        """Write the sidecar durably, in place of any that a crash left for this key."""
        self.delete(bucket, key)
        folder = self._of(bucket, key)
        make_folders(folder)
        part = folder / f".{uuid.uuid4().hex}"
        with part.open("xb") as sink:
            sink.write(json.dumps({"content_type": content_type, "marks": metadata}).encode())
            sink.flush()
            os.fsync(sink.fileno())
        part.rename(folder / f"{sha256}.json")
        sync_folder(folder)

    def read(self, bucket: str, key: str, sha256: str) -> tuple[str, dict[str, str]] | None:
        """Return content type and metadata of the object with this content; ``None`` if Telecine did not write it."""
        try:
            found = json.loads((self._of(bucket, key) / f"{sha256}.json").read_bytes())
        except FileNotFoundError:
            return None
        return str(found["content_type"]), {str(name): str(value) for name, value in found["marks"].items()}

    def delete(self, bucket: str, key: str) -> None:
        """Delete all sidecars of this key."""
        shutil.rmtree(self._of(bucket, key), ignore_errors=True)

    def _of(self, bucket: str, key: str) -> Path:
        name = _name(bucket, key)
        return self._folder / "sidecars" / name[:2] / name


def _name(bucket: str, key: str) -> str:
    return hashlib.sha256(f"{bucket}/{key}".encode(errors="surrogateescape")).hexdigest()


def make_folders(folder: Path) -> None:
    """Create ``folder`` and its parents durably, so that they survive a power cut."""
    if not folder.is_dir():
        make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Flush the directory entries of ``folder`` to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
