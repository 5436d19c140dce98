"""The inbox door: a folder with one request per file, the queue of embedded mode."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from consumer.admission.message import Admit, AdmitResult, IncomingMessage
from consumer.doors.drop import PART, SUFFIX
from consumer.failpoints import failpoint
from consumer.ledger.dead_letters import KEPT_BYTES, MOST_READ_BYTES
from consumer.ledger.due import Wake, Waker
from consumer.logs import logger

log = logger(__name__)

# An admitted file is renamed to a unique name with this ending before it is deleted.
_TAKEN = ".taken-by-telecine"
# A file that is too large to be a request is kept under a name with this ending: its dead letter has only a part.
_TOO_LARGE = ".too-large"
# A .part file of this age was left by a process that died.
_STALE_SECONDS = 86_400.0
_CLEAR_SECONDS = 3600.0
_SETTLE_SECONDS = 1.0
# Memory limit of a batch. Requests are small; this bounds files that are too large to be one.
_BATCH_BYTES = 32 * 1024 * 1024

#: Modification time, size and inode number: unchanged means that it is the same file.
_FileState = tuple[int, int, int]


def waiting_requests(inbox: Path) -> list[Path]:
    """Return the files in the inbox that no door has read yet."""
    try:
        return sorted(path for path in inbox.iterdir() if path.suffix == SUFFIX and not path.name.startswith("."))
    except OSError:
        return []


class InboxDoor:
    """Reads the inbox until it is stopped. A file is deleted only after the ledger has committed.

    After a crash in between, the next start reads the file again, as a duplicate.
    """

    def __init__(
        self, inbox: Path, admit: Admit, wake: Waker, *, batch: int, poll_seconds: float, limit_bytes: int
    ) -> None:
        self._inbox = inbox
        self._admit = admit
        self._wake = wake
        self._batch = batch
        self._poll_seconds = poll_seconds
        self._limit_bytes = limit_bytes
        self._stopped = threading.Event()
        self._clear_at = 0.0
        #: Unreadable files that were logged already.
        self._unreadable: set[Path] = set()
        #: Admitted files that could not be deleted, with their state at that time.
        self._settled: dict[Path, _FileState] = {}

    def run(self) -> None:
        """Read files until ``stop``. Failures are logged and retried."""
        while True:
            taken = 0
            self._delete_stale_parts()
            if self._stopped.is_set():
                return
            try:
                self._inbox.mkdir(parents=True, exist_ok=True)
                taken = self.take()
            except Exception:
                log.warning("inbox_failed", exc_info=True)
                self._stopped.wait(1)
            if taken < self._batch:
                self._stopped.wait(self._poll_seconds)

    def stop(self) -> None:
        """Make ``run`` return soon."""
        self._stopped.set()

    def take(self) -> int:
        """Admit one batch of files and return its size."""
        files: list[tuple[Path, bytes, _FileState]] = []
        size = 0
        # Unreadable files do not count towards the batch, or enough of them would block the others.
        for path in self._waiting():
            if (found := self._read(path)) is not None:
                body, state = found
                files.append((path, body, state))
                size += len(body)
            if size > _BATCH_BYTES or len(files) == self._batch:
                break
        if not files:
            return 0
        results = self._admit([IncomingMessage(body, "inbox", self._inbox.name) for _, body, _ in files])
        for path, _, state in files:
            self._delete(path, state)
        failpoint("door.acknowledged")
        self._wake(_wakes(results))
        return len(files)

    def _waiting(self) -> list[Path]:
        """Return every file that may be a request, oldest first."""
        with os.scandir(self._inbox) as entries:
            found = {
                Path(e.path): _state(e.stat())
                for e in entries
                if e.name.endswith((SUFFIX, _TAKEN)) and e.name[0] != "." and e.is_file()
            }
        self._unreadable &= found.keys()
        self._settled = {path: state for path, state in self._settled.items() if found.get(path) == state}
        waiting = [path for path in found if path not in self._settled]
        return sorted(waiting, key=lambda path: (found[path][0], path))

    def _delete(self, path: Path, state: _FileState) -> None:
        """Delete an admitted file. One that cannot be deleted is remembered, so that it is not admitted again.

        A producer may have replaced the file by another request in the meantime. So it is renamed to a name that no
        producer uses, and only deleted if it still is the file that was admitted. Otherwise it is read next.
        """
        taken = path.with_name(f"{path.name[:50]}.{uuid.uuid4().hex}{_TAKEN}")
        try:
            path.rename(taken)
            if _state(taken.stat()) == state:
                self._dispose(taken, size=state[1])
        except FileNotFoundError:
            return
        except OSError as error:
            self._settled[taken if taken.exists() else path] = state
            log.warning("inbox_file_not_deleted", file=path.name, reason=str(error))

    def _dispose(self, taken: Path, *, size: int) -> None:
        """Delete the file, unless its dead letter has only the beginning of it."""
        if size > max(self._limit_bytes, KEPT_BYTES):
            taken.rename(taken.with_name(taken.name.removesuffix(_TAKEN) + _TOO_LARGE))
        else:
            taken.unlink()

    def _read(self, path: Path) -> tuple[bytes, _FileState] | None:
        """Return a file's content with its state; ``None`` if it cannot be read, or is still being written."""
        try:
            with path.open("rb") as file:
                before = _state(os.fstat(file.fileno()))
                # A file that is too large becomes a dead letter, cut to the size that a ledger row holds.
                body = file.read(max(self._limit_bytes + 1, MOST_READ_BYTES))
                found = os.fstat(file.fileno())
        except OSError as error:
            if path not in self._unreadable:
                self._unreadable.add(path)
                log.warning("inbox_file_unreadable", file=path.name, reason=str(error))
            return None
        # A file that is being copied grows: wait for a while if it does not end like a JSON object.
        growing = not body.rstrip().endswith(b"}") and 0 <= time.time() - found.st_mtime < _SETTLE_SECONDS
        return None if growing or _state(found) != before else (body, before)

    def _delete_stale_parts(self) -> None:
        """Delete what producers that died left: at the start, then once an hour."""
        if time.monotonic() < self._clear_at:
            return
        self._clear_at = time.monotonic() + _CLEAR_SECONDS
        with contextlib.suppress(OSError):
            for part in self._inbox.glob(f".*{PART}"):
                if time.time() - part.stat().st_mtime > _STALE_SECONDS:
                    part.unlink()


def _state(found: os.stat_result) -> _FileState:
    return found.st_mtime_ns, found.st_size, found.st_ino


def _wakes(results: Sequence[AdmitResult]) -> list[Wake]:
    return [result.wake for result in results if result.wake is not None]
