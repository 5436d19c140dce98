"""Storage in a folder: ``s3://bucket/key`` is the file ``<root>/bucket/key``, for people to look into."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path, PurePosixPath

from consumer.storage.atomic_copy import check_size, check_unchanged, chunks_of, copy_whole, pinned
from consumer.storage.base import LIST_LIMIT, Fetched, ObjectFacts, StoredObject, locate, locate_folder
from consumer.storage.folder_errors import writing
from consumer.storage.object_metadata import adopt, described, metadata_of
from consumer.storage.paths import bucket_folder, key_of, path_of
from consumer.storage.safe_open import NotRegular, open_beneath
from consumer.storage.sidecar import Sidecars, make_folders, sync_folder
from schemas.errors import InputForbidden, InputNotFound, OutputForbidden, StorageUnavailable
from schemas.reference import Pin

#: Everything of Telecine's own lies here; no bucket can have this name.
HIDDEN = ".telecine"
#: A copy that nobody finished within a day was left by a crash.
LEFTOVER_SECONDS = 86_400
_LOOKS = 20
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class FolderStorage:
    """Objects as ordinary files below ``root``. Several processes may share it, on one machine."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._parts = self._root / HIDDEN / "parts"
        self._sidecars = Sidecars(self._root / HIDDEN)
        self._sweep()

    def fetch(self, uri: str, into: Path, limit_bytes: int, pin: Pin | None = None) -> Fetched:
        """The object, copied to ``into``. Files that people put into the folder are objects too."""
        bucket, key = locate(uri)
        try:
            source = self._open(bucket, key)
        except FileNotFoundError:
            raise InputNotFound(f"{uri} does not exist. Upload it before sending the request.") from None
        except (NotRegular, PermissionError):
            raise InputForbidden(f"{uri} is not a regular file that this worker may read.") from None
        with source:
            size = os.fstat(source.fileno()).st_size
            check_size(size, limit_bytes)
            return copy_whole(
                chunks_of(source), into, limit_bytes=limit_bytes, expected_bytes=size, check=pinned(uri, pin)
            )

    def put(self, path: Path, uri: str, facts: ObjectFacts) -> StoredObject:
        """The object at ``uri``. A crash here leaves nothing but hidden files, or the whole object."""
        bucket, key = locate(uri)
        with writing(uri), self._copied(path, facts) as part:
            for _ in range(_LOOKS):
                with self._sidecars.locked(bucket, key):
                    if (found := self._look(bucket, key)) is not None:
                        return adopt(found[0], found[1], facts)
                    # Somebody who takes no locks may put a file there (EEXIST) or take its folder away
                    # (ENOENT) between the look and the link: then it is looked at again.
                    with contextlib.suppress(FileExistsError, FileNotFoundError):
                        self._link(part, bucket, key, facts)
                        return described(
                            uri, metadata_of(facts), facts.bytes, facts.content_type, facts.sha256, etag=facts.sha256
                        )
        raise StorageUnavailable(f"{uri} comes and goes. It is tried again.")

    def url(self, uri: str, lifetime_seconds: int, pin: Pin | None = None) -> str:
        """A ``file://`` URL. It does not expire."""
        return self._path(*locate(uri)).as_uri()

    def delete(self, prefix_uri: str) -> int:
        """How many files below the folder were deleted; folders that are empty then go too."""
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
                with self._sidecars.locked(bucket, key):
                    found.unlink(missing_ok=True)
                    self._sidecars.forget(bucket, key)
                count += 1
            with contextlib.suppress(OSError):
                Path(parent).rmdir()
        return count

    def head(self, uri: str, version: str | None = None) -> StoredObject | None:
        """What is known about the object. Its bytes are read, because people may have changed the file."""
        try:
            found = self._look(*locate(uri))
        except NotRegular:
            return None
        except PermissionError:
            raise InputForbidden(f"{uri} may not be read. Grant the worker read access.") from None
        return None if found is None else found[0]

    def list_prefix(self, uri: str) -> list[str]:
        """The files in the folder of ``uri`` whose names begin like it."""
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
        # A name that people gave to a file and that is not UTF-8 is no key.
        found = sorted(name for name in names if name.startswith(key) and _SURROGATE.search(name) is None)
        return [f"s3://{bucket}/{name}" for name in found][:LIST_LIMIT]

    def _link(self, part: Path, bucket: str, key: str, facts: ObjectFacts) -> None:
        """The one indivisible step; what is known about the object is on the disk before it."""
        self._sidecars.write(bucket, key, facts.sha256, facts.content_type, metadata_of(facts))
        target = self._path(bucket, key)
        make_folders(target.parent)
        os.link(part, target)
        sync_folder(target.parent)

    def _look(self, bucket: str, key: str) -> tuple[StoredObject, dict[str, str]] | None:
        try:
            with self._open(bucket, key) as source:
                size = os.fstat(source.fileno()).st_size
                sha256 = hashlib.file_digest(source, "sha256").hexdigest()
        except FileNotFoundError:
            return None
        content_type, marks = self._sidecars.read(bucket, key, sha256) or ("application/octet-stream", {})
        return described(f"s3://{bucket}/{key}", marks, size, content_type, sha256, etag=sha256), marks

    def _path(self, bucket: str, key: str) -> Path:
        return self._root / bucket_folder(bucket) / path_of(key)

    def _open(self, bucket: str, key: str) -> BufferedReader:
        return open_beneath(self._root, Path(bucket_folder(bucket)) / path_of(key))

    @contextlib.contextmanager
    def _copied(self, path: Path, facts: ObjectFacts) -> Iterator[Path]:
        """A copy of the file on the same file system, whole and on the disk."""
        make_folders(self._parts)
        part = self._parts / uuid.uuid4().hex
        try:
            shutil.copyfile(path, part)
            check_unchanged(part, facts)
            with part.open("rb") as written:
                os.fsync(written.fileno())
            yield part
        finally:
            part.unlink(missing_ok=True)

    def _sweep(self) -> None:
        with contextlib.suppress(OSError):  # gone already, or the disk is read-only: no reason not to start
            for part in self._parts.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - part.stat().st_mtime > LEFTOVER_SECONDS:
                        part.unlink()
