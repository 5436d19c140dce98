"""Storage in a folder: ``s3://bucket/key`` is the file ``<root>/bucket/key``, so that people can look at it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any

from consumer.storage.atomic_copy import check_size, check_unchanged, chunks_of, copy_whole, pin_check, section_of
from consumer.storage.base import (
    LIST_LIMIT,
    Fetched,
    ObjectFacts,
    PresignedUpload,
    StoredObject,
    in_key_order,
    locate,
    locate_folder,
    to_stored_object,
)
from consumer.storage.folder_errors import writing
from consumer.storage.local_files import NotRegular, open_beneath
from consumer.storage.marks import Marks, make_folders, sync_folder
from consumer.storage.paths import bucket_folder, key_of, path_of
from consumer.storage.small_files import FolderSmallFiles, flush_file, new_part
from schemas.errors import InputForbidden, InputNotFound, OutputForbidden, StorageUnavailable
from schemas.reference import Pin

#: The folder for Telecine's own files; no bucket can have this name.
HIDDEN = ".telecine"
#: A partial copy that is older than this and that no process has locked was left by a crash and is deleted.
LEFTOVER_SECONDS = 300.0
#: Between two looks for what crashes left.
_SWEEP_SECONDS = 3600.0
#: How often ``put`` looks again when a file appears or its folder disappears during the write.
_LOOKS = 20
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class FolderStorage:
    """Objects as ordinary files below ``root``. Several processes on one machine may share it."""

    has_urls = False

    def __init__(self, root: Path) -> None:
        """Open the folder, and delete partial copies that a crash left."""
        self._root = root.resolve()
        self._parts = self._root / HIDDEN / "parts"
        self._marks = Marks(self._root / HIDDEN)
        self.small_files = FolderSmallFiles(self._root, self._parts, self._marks, lambda uri: self._look(*locate(uri)))
        self._sweep_at = 0.0
        self._sweep()

    def fetch(self, uri: str, into: Path, limit_bytes: int, pin: Pin | None = None) -> Fetched:
        """Copy the object to ``into``. Files that people put into the folder are objects too."""
        with self._open_input(uri) as source:
            size = os.fstat(source.fileno()).st_size
            check_size(size, limit_bytes)
            return copy_whole(
                chunks_of(source), into, limit_bytes=limit_bytes, expected_bytes=size, check=pin_check(uri, pin)
            )

    def put(self, path: Path, uri: str, facts: ObjectFacts) -> StoredObject:
        """Store the file. A crash leaves only hidden files, or the whole object."""
        bucket, key = locate(uri)
        self._sweep()
        with writing(uri), self._copied(path, facts) as part:
            for _ in range(_LOOKS):
                with self._marks.locked(bucket, key):
                    if (found := self._look(bucket, key)) is not None:
                        found.check_owner(facts.job_id, facts.fingerprint)
                        # The attempt that stored it may have been killed before it was flushed.
                        self._flush(self._path(bucket, key))
                        return found
                    # Between the look and the link, a program that takes no locks may create the file (EEXIST) or
                    # delete its folder (ENOENT): then look again.
                    with contextlib.suppress(FileExistsError, FileNotFoundError):
                        return self._link(part, bucket, key, facts)
        raise StorageUnavailable(f"{uri} appeared and disappeared again while it was written. Will retry.")

    def url(self, uri: str, lifetime_seconds: int, pin: Pin | None = None) -> str:
        """Return a ``file://`` URL. It does not expire."""
        return self._path(*locate(uri)).as_uri()

    def upload_url(
        self, uri: str, lifetime_seconds: int, *, job_id: str, size: int, facts: Mapping[str, Any]
    ) -> PresignedUpload | None:
        """Return ``None``: no one else can write here."""
        return None

    def delete(self, prefix_uri: str) -> int:
        """Delete the files below the folder and return their number; folders that are then empty are deleted too."""
        bucket, prefix = locate_folder(prefix_uri)
        home = self._root / bucket_folder(bucket)
        folder = home / path_of(prefix.removesuffix("/"))
        if folder.resolve() != folder:
            raise OutputForbidden(f"{prefix_uri} leads through a symbolic link. Remove the link.")
        count = 0
        for parent, _, names in os.walk(folder, topdown=False):
            for name in names:
                found = Path(parent, name)
                key = key_of(PurePosixPath(found.relative_to(home)))
                with self._marks.locked(bucket, key):
                    found.unlink(missing_ok=True)
                    self._marks.delete(bucket, key)
                count += 1
            with contextlib.suppress(OSError):
                Path(parent).rmdir()
        return count

    def head(self, uri: str, version: str | None = None) -> StoredObject | None:
        """Return what is known about the object. Its bytes are read, because people may have changed the file."""
        try:
            return self._look(*locate(uri))
        except NotRegular:
            return None
        except PermissionError:
            raise InputForbidden(f"{uri} may not be read. Grant the worker read access.") from None

    def read(self, uri: str, start: int, length: int) -> Iterator[bytes]:
        """Return a part of the file, in pieces."""
        return section_of(self._open_input(uri), start, length)

    def list_folders(self, uri: str, after: str = "") -> list[str]:
        """Return the names of the folders directly in the folder."""
        bucket, prefix = locate_folder(uri)
        home = self._root / bucket_folder(bucket)
        try:
            found = [path for path in (home / path_of(prefix.removesuffix("/"))).iterdir() if path.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = (key_of(PurePosixPath(path.name)) for path in found if not path.is_symlink())
        return in_key_order(names, after)[:LIST_LIMIT]

    def list_prefix(self, uri: str) -> list[str]:
        """Return the files whose URI starts with ``uri``, in its folder only."""
        bucket, key = locate(uri)
        above, slash, _ = key.rpartition("/")
        home = self._root / bucket_folder(bucket)
        folder = home / path_of(above) if slash else home
        if folder.resolve() != folder:
            raise InputForbidden(f"{uri} leads through a symbolic link. Remove the link.")
        try:
            files = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except PermissionError:
            raise InputForbidden(f"The folder of {uri} may not be listed. Grant the worker read access.") from None
        names = (key_of(PurePosixPath(path.relative_to(home))) for path in files)
        # A file name that is not UTF-8 is not a key.
        found = sorted(name for name in names if name.startswith(key) and _SURROGATE.search(name) is None)
        return [f"s3://{bucket}/{name}" for name in found][:LIST_LIMIT]

    def _link(self, part: Path, bucket: str, key: str, facts: ObjectFacts) -> StoredObject:
        """Create the object in one atomic step, after its content and metadata are on the disk."""
        self._marks.write(part, bucket, key, facts)
        target = self._path(bucket, key)
        make_folders(target.parent)
        os.link(part, target)
        sync_folder(target.parent)
        return to_stored_object(
            f"s3://{bucket}/{key}",
            facts.as_metadata(),
            facts.bytes,
            facts.content_type,
            facts.sha256,
            etag=facts.sha256,
        )

    def _look(self, bucket: str, key: str) -> StoredObject | None:
        try:
            with self._open(bucket, key) as source:
                size = os.fstat(source.fileno()).st_size
                sha256 = hashlib.file_digest(source, "sha256").hexdigest()
                marks = self._marks.read(source, bucket, key, sha256)
        except FileNotFoundError:
            return None
        content_type, metadata = marks or ("application/octet-stream", {})
        return to_stored_object(f"s3://{bucket}/{key}", metadata, size, content_type, sha256, etag=sha256)

    def _path(self, bucket: str, key: str) -> Path:
        return self._root / bucket_folder(bucket) / path_of(key)

    def _open(self, bucket: str, key: str) -> BufferedReader:
        return open_beneath(self._root, Path(bucket_folder(bucket)) / path_of(key))

    def _open_input(self, uri: str) -> BufferedReader:
        bucket, key = locate(uri)
        try:
            return self._open(bucket, key)
        except FileNotFoundError:
            raise InputNotFound(f"{uri} does not exist. Upload it before sending the request.") from None
        except (NotRegular, PermissionError):
            raise InputForbidden(f"{uri} is not a regular file that this worker may read.") from None

    def _flush(self, path: Path) -> None:
        flush_file(path)
        for folder in path.parents:
            sync_folder(folder)
            if folder == self._root:
                return

    @contextlib.contextmanager
    def _copied(self, path: Path, facts: ObjectFacts) -> Iterator[Path]:
        """Yield a complete copy of the file on the storage's file system. ``Marks.write`` flushes it to the disk."""
        make_folders(self._parts)
        with new_part(self._parts) as held:
            part = Path(held.name)
            shutil.copyfile(path, part)
            check_unchanged(part, facts)
            yield part

    def _sweep(self) -> None:
        """Delete the partial copies that crashes left: at the start, then once an hour."""
        if time.monotonic() < self._sweep_at:
            return
        self._sweep_at = time.monotonic() + _SWEEP_SECONDS
        with contextlib.suppress(OSError):  # already deleted, or a read-only disk: neither may prevent the start
            for part in self._parts.iterdir():
                with contextlib.suppress(FileNotFoundError, BlockingIOError):
                    if time.time() - part.stat().st_mtime > LEFTOVER_SECONDS:
                        _delete_unlocked(part)


def _delete_unlocked(part: Path) -> None:
    """Delete the file.

    Raises:
        BlockingIOError: A process that writes it has locked it.
    """
    with part.open("rb") as found:
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink(missing_ok=True)
