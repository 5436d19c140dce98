"""Small files of the storage folder: written at once, flushed to the disk later and many together.

Waiting for the disk costs more than anything else in a short job. A file gets its name when it is whole, so a killed
process leaves nothing, or the whole file. A power cut may lose it, or leave the name without the content, until
``flush`` returns.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BufferedReader, BufferedWriter
from pathlib import Path, PurePosixPath

from consumer.storage.base import ObjectFacts, StoredObject, locate
from consumer.storage.folder_errors import writing
from consumer.storage.local_files import open_beneath
from consumer.storage.marks import Marks, attribute_of, make_folders, record_of, set_attribute, sync_folder
from consumer.storage.paths import bucket_folder, path_of
from schemas.errors import StorageUnavailable

#: How often ``put`` looks again when a file appears or its folder disappears during the write.
_LOOKS = 20
#: How much of a file is read to find out whether it is a damaged one of the same job.
_MOST_BYTES = 64 * 1024
#: The file system combines the writes of files that are flushed at the same time.
_FLUSHES_AT_ONCE = 8
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: The file system has no files without a name.
_NAMELESS_REFUSED = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)


class FolderSmallFiles:
    """The small files of one storage folder."""

    def __init__(self, root: Path, parts: Path, marks: Marks, look: Callable[[str], StoredObject | None]) -> None:
        """Use the folder ``root``, with partial files in ``parts``; neither need exist yet.

        ``look`` returns what is stored under a name.
        """
        self._root, self._parts, self._marks, self._look = root, parts, marks, look
        self._prepared = False

    def put(self, content: bytes, uri: str, facts: ObjectFacts) -> bytes | None:
        """Store the content and return it, or that which an earlier attempt of the job stored there."""
        with writing(uri):
            self._prepare()
            for _ in range(_LOOKS):
                # A program may create the file, or delete it with its folder, while this writes: then look again.
                with contextlib.suppress(FileNotFoundError, FileExistsError):
                    return content if self._create(content, uri, facts) else None
                if (found := self._look(uri)) is not None:
                    if found.owner is None and self._is_damaged(uri, facts):
                        self._path(uri).unlink(missing_ok=True)
                        continue
                    found.check_owner(facts.job_id, facts.fingerprint)
                    with contextlib.suppress(FileNotFoundError), self._open(uri) as source:
                        return source.read()
        return None

    def is_whole(self, content: bytes, uri: str, facts: ObjectFacts) -> bool:
        """Return whether the object is there with exactly this content and these facts."""
        try:
            with self._open(uri) as source:
                return source.read(len(content) + 1) == content and attribute_of(source) == record_of(facts)
        except OSError:
            return False

    def restore(self, content: bytes, uri: str, facts: ObjectFacts) -> None:
        """Store the content again, in a new file, in place of a missing or damaged object; wait for its content."""
        if not self._parts.is_dir():
            reason = f"The storage folder {self._root} is missing or empty: mount or restore it. Will retry."
            raise StorageUnavailable(reason, outage=True)
        (bucket, key), path = locate(uri), self._relative(uri)
        with writing(uri), self._marks.locked(bucket, key):
            if (found := self._look(uri)) is not None and found.owner is not None:
                found.check_owner(facts.job_id, facts.fingerprint)
            with new_part(self._parts) as part, self._folder(path.parent) as folder:
                part.write(content)
                part.flush()
                self._marks.write(Path(part.name), bucket, key, facts)
                os.rename(part.name, path.name, dst_dir_fd=folder)

    def flush(self, uris: Sequence[str]) -> None:
        """Wait until the objects are on the disk. Those that were deleted are left out."""
        files = [self._path(uri) for uri in uris]
        folders = {folder for file in files for folder in file.parents if folder.is_relative_to(self._root)}
        with ThreadPoolExecutor(_FLUSHES_AT_ONCE) as threads:
            for _ in threads.map(flush_file, [*files, *folders]):
                pass

    def _prepare(self) -> None:
        """Create the storage folder so that it survives a power cut: ``restore`` does not create it."""
        if not self._prepared or not self._parts.is_dir():
            make_folders(self._parts)
            # Another process may have created them and not flushed them yet.
            for folder in (self._parts.parent, self._root):
                sync_folder(folder)
            with contextlib.suppress(PermissionError):  # of a folder that this user need not be able to list
                sync_folder(self._root.parent)
            self._prepared = True

    def _create(self, content: bytes, uri: str, facts: ObjectFacts) -> bool:
        """Create the object in one atomic step. Return ``False`` if the file system has no way to do it."""
        path = self._relative(uri)
        with self._folder(path.parent) as folder, contextlib.ExitStack() as stack:
            try:
                part = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=folder)
            except OSError as error:
                if error.errno in _NAMELESS_REFUSED:
                    return False
                raise
            stack.callback(os.close, part)
            if not set_attribute(part, record_of(facts)) or os.write(part, content) != len(content):
                return False
            os.link(f"/proc/self/fd/{part}", path.name, dst_dir_fd=folder, follow_symlinks=True)
        return True

    def _is_damaged(self, uri: str, facts: ObjectFacts) -> bool:
        """Return whether a power cut damaged what an earlier attempt of the job stored, before the job ended."""
        with self._open(uri) as source:
            there = source.read(_MOST_BYTES) + (attribute_of(source) or b"")
        # Either of content and metadata may be left. Both name the job by its fingerprint.
        return not there.strip(b"\0") or facts.fingerprint.encode() in there

    def _open(self, uri: str) -> BufferedReader:
        return open_beneath(self._root, Path(self._relative(uri)))

    @contextlib.contextmanager
    def _folder(self, relative: PurePosixPath) -> Iterator[int]:
        """Yield the open folder, which is created if it is missing; no part of it may be a symbolic link."""
        current = os.open(self._root, _FOLDER)
        try:
            for part in relative.parts:
                try:
                    below = os.open(part, _FOLDER, dir_fd=current)
                except FileNotFoundError:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, dir_fd=current)
                    below = os.open(part, _FOLDER, dir_fd=current)
                os.close(current)
                current = below
            yield current
        finally:
            os.close(current)

    def _relative(self, uri: str) -> PurePosixPath:
        bucket, key = locate(uri)
        return PurePosixPath(bucket_folder(bucket)) / path_of(key)

    def _path(self, uri: str) -> Path:
        return self._root / self._relative(uri)


@contextlib.contextmanager
def new_part(folder: Path) -> Iterator[BufferedWriter]:
    """Yield a new file in ``folder``, and delete it afterwards if it still has its name there."""
    part = folder / uuid.uuid4().hex
    try:
        with part.open("xb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # until the end of this process at most
            yield held
    finally:
        part.unlink(missing_ok=True)


def flush_file(path: Path) -> None:
    """Flush one file or folder to the disk, unless it was deleted."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
