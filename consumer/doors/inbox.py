"""The inbox folder: the embedded mode's queue. One file, one request."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from consumer.admission.message import Admit, AdmitResult, IncomingMessage
from consumer.failpoints import failpoint
from consumer.ledger.dead_letters import KEPT_BYTES
from consumer.ledger.due import Wake, Waker
from consumer.logs import logger

log = logger(__name__)

_SUFFIX = ".json"
_SETTLE_SECONDS = 1.0
# Requests are small. Of files that are too large to be one, so many are held in memory at once.
_BATCH_BYTES = 32 * 1024 * 1024

#: When a file was changed, its size, its number: what is the same as long as the file is.
_State = tuple[int, int, int]


def drop(inbox: Path, body: bytes) -> Path:
    """Puts a request into the inbox, whole or not at all: written aside, synced, then renamed."""
    inbox.mkdir(parents=True, exist_ok=True)
    name = uuid.uuid4().hex
    part = inbox / f".{name}.part"
    with part.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    target = inbox / f"{name}{_SUFFIX}"
    part.rename(target)
    return target


class InboxDoor:
    """Reads the inbox until it is stopped. A file goes away only after the ledger has committed.

    A crash in between leaves the file; the next start finds it again, as a duplicate.
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
        #: Files that were told about: they could not be read.
        self._unreadable: set[Path] = set()
        #: Files that are in the ledger and could not be removed, each as it was then.
        self._settled: dict[Path, _State] = {}

    def run(self) -> None:
        """Takes files until ``stop``; whatever fails is logged and tried again."""
        while not self._stopped.is_set():
            taken = 0
            try:
                self._inbox.mkdir(parents=True, exist_ok=True)
                taken = self.take()
            except Exception:
                log.warning("inbox_failed", exc_info=True)
                self._stopped.wait(1)
            if taken < self._batch:
                self._stopped.wait(self._poll_seconds)

    def stop(self) -> None:
        """Makes ``run`` return soon."""
        self._stopped.set()

    def take(self) -> int:
        """Admits one batch; answers how many files it had."""
        arrivals: list[tuple[Path, bytes, _State]] = []
        size = 0
        # What cannot be read takes no place from others, however much of it lies at the front.
        for path, state in self._waiting():
            if (body := self._read(path)) is not None:
                arrivals.append((path, body, state))
                size += len(body)
            if size > _BATCH_BYTES or len(arrivals) == self._batch:
                break
        if not arrivals:
            return 0
        answers = self._admit([IncomingMessage(body, "inbox", self._inbox.name) for _, body, _ in arrivals])
        for path, _, state in arrivals:
            self._remove(path, state)
        failpoint("door.acknowledged")
        self._wake(_wakes(answers))
        return len(arrivals)

    def _waiting(self) -> list[tuple[Path, _State]]:
        """Every file that may be a request, the oldest first."""
        with os.scandir(self._inbox) as entries:
            found = {
                Path(e.path): _state(e.stat())
                for e in entries
                if e.name.endswith(_SUFFIX) and e.name[0] != "." and e.is_file()
            }
        self._unreadable &= found.keys()
        self._settled = {path: state for path, state in self._settled.items() if found.get(path) == state}
        waiting = [(path, state) for path, state in found.items() if path not in self._settled]
        return sorted(waiting, key=lambda item: (item[1][0], item[0]))

    def _remove(self, path: Path, state: _State) -> None:
        """Removes what is in the ledger. What stays, in a folder of others' files, is not admitted again."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._settled[path] = state
            log.warning("inbox_file_not_removed", file=path.name, reason=str(error))

    def _read(self, path: Path) -> bytes | None:
        try:
            with path.open("rb") as file:
                # What is too large is refused, and kept as a dead letter up to the size that a ledger row holds.
                body = file.read(max(self._limit_bytes + 1, KEPT_BYTES))
                changed = os.fstat(file.fileno()).st_mtime
        except OSError as error:
            if path not in self._unreadable:
                self._unreadable.add(path)
                log.warning("inbox_file_unreadable", file=path.name, reason=str(error))
            return None
        # A plain copy appears empty and grows: what does not end like an object is given time to.
        growing = not body.rstrip().endswith(b"}") and 0 <= time.time() - changed < _SETTLE_SECONDS
        return None if growing else body


def _state(found: os.stat_result) -> _State:
    return found.st_mtime_ns, found.st_size, found.st_ino


def _wakes(answers: Sequence[AdmitResult]) -> list[Wake]:
    return [answer.wake for answer in answers if answer.wake is not None]
