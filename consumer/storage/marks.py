"""The metadata of objects in the storage folder: an extended attribute of the file, or a hidden file.

Metadata names the SHA-256 of the content that it belongs to, so a file that was changed by hand has none. A hidden file
(a sidecar) is used on file systems without extended attributes, and was used for all objects by earlier versions. It is
written before its object, so that one that a crash left behind describes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from consumer.storage.base import ObjectFacts

#: Number of lock files; keys that share one wait for each other for one small write at most.
_LOCKS = 64
_ATTRIBUTE = "user.telecine"
#: The file system has no extended attributes, has too little room for this one, or does not let this user set it.
_NO_ATTRIBUTE = (errno.ENOTSUP, errno.ENOSPC, errno.E2BIG, errno.ERANGE, errno.EPERM, errno.EACCES)


class Marks:
    """The metadata of one storage folder's objects, shared by threads and processes."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder`` for locks and sidecars; it need not exist yet."""
        self._folder = folder

    @contextlib.contextmanager
    def locked(self, bucket: str, key: str) -> Iterator[None]:
        """Lock the key for writing. The system releases the lock of a process that dies."""
        path = self._folder / "locks" / f"{int(_name(bucket, key)[:8], 16) % _LOCKS:02}"
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir(parents=True)
        with path.open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def write(self, part: Path, bucket: str, key: str, facts: ObjectFacts) -> None:
        """Write the metadata of ``part``, which will become the object, and flush both to the disk."""
        record = record_of(facts)
        with part.open("rb") as written:
            if not set_attribute(written.fileno(), record):
                self._write_sidecar(bucket, key, facts.sha256, record)
            os.fsync(written.fileno())

    def read(self, source: BufferedReader, bucket: str, key: str, sha256: str) -> tuple[str, dict[str, str]] | None:
        """Return content type and metadata of the open object; ``None`` if Telecine did not write this content."""
        found = _attribute(source)
        if found is None or found.get("sha256") != sha256:
            try:
                found = json.loads((self._of(bucket, key) / f"{sha256}.json").read_bytes())
            except FileNotFoundError:
                return None
        return str(found["content_type"]), {str(name): str(value) for name, value in found["marks"].items()}

    def delete(self, bucket: str, key: str) -> None:
        """Delete all sidecars of this key."""
        shutil.rmtree(self._of(bucket, key), ignore_errors=True)

    def _write_sidecar(self, bucket: str, key: str, sha256: str, record: bytes) -> None:
        self.delete(bucket, key)  # a crash may have left one
        folder = self._of(bucket, key)
        make_folders(folder)
        part = folder / f".{uuid.uuid4().hex}"
        with part.open("xb") as sink:
            sink.write(record)
            sink.flush()
            os.fsync(sink.fileno())
        part.rename(folder / f"{sha256}.json")
        sync_folder(folder)

    def _of(self, bucket: str, key: str) -> Path:
        name = _name(bucket, key)
        return self._folder / "sidecars" / name[:2] / name


def record_of(facts: ObjectFacts) -> bytes:
    """Return the metadata as it is stored."""
    marks = facts.as_metadata()
    return json.dumps({"sha256": facts.sha256, "content_type": facts.content_type, "marks": marks}).encode()


def attribute_of(source: BufferedReader) -> bytes | None:
    """Return the metadata in the file's attribute, as it is stored; ``None`` if it has none."""
    try:
        return os.getxattr(source.fileno(), _ATTRIBUTE)
    except OSError:
        return None


def set_attribute(descriptor: int, record: bytes) -> bool:
    """Store the metadata in an attribute of the open file. Return ``False`` if this is impossible here."""
    try:
        os.setxattr(descriptor, _ATTRIBUTE, record)
    except OSError as error:
        if error.errno not in _NO_ATTRIBUTE:
            raise
        return False
    return True


def _attribute(source: BufferedReader) -> dict[str, Any] | None:
    """Return what the file's attribute has, or ``None`` if it has none that can be read."""
    try:
        found = json.loads(attribute_of(source) or b"")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and {"content_type", "marks"} <= found.keys() else None


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
