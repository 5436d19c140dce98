"""The thread that renews the leases of all attempts of a process, in one statement. It runs while there are any."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Protocol

from consumer.ledger.database import Database
from consumer.ledger.leases import HeartbeatResult, renew
from consumer.ledger.records import Lease
from consumer.logs import logger

log = logger(__name__)

#: The first beat of an attempt comes soon, so that a short job shows its progress too.
FIRST_BEAT_SECONDS = 0.25


class Beating(Protocol):
    """The heartbeat of one attempt, which belongs to a layer above the ledger."""

    lease: Lease
    #: When it is renewed next, on this process's clock; infinite if it is lost.
    next_beat: float

    def beat(self) -> tuple[Lease, int]:
        """Return what a beat records: that the lease is held, and the progress."""
        ...

    def renewed(self, result: HeartbeatResult | None, started: float, progress: int) -> None:
        """Take note of a beat that began at ``started``; its result is ``None`` if another worker has the job."""
        ...

    def failed(self) -> None:
        """Take note of a beat that did not reach the ledger."""
        ...


class Heartbeats:
    """The heartbeats of a process, and the thread that renews their leases. The thread ends when there are none."""

    def __init__(self, database: Database, *, seconds: float) -> None:
        """Renew leases in ``database``, each for ``seconds``."""
        self._database = database
        self.seconds = seconds
        self._beating: set[Beating] = set()
        self._lock = threading.Lock()
        #: Held during a beat: an attempt does not end in the middle of one of its own.
        self._in_beat = threading.Lock()
        self._thread: threading.Thread | None = None
        #: Whether any attempt began since the last look; so short ones do not start a thread each.
        self._any_began = False

    def add(self, heartbeat: Beating) -> None:
        """Begin to renew its lease."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)
                thread.start()  # may raise: this machine may have no threads left
                self._thread = thread
            self._beating.add(heartbeat)
            self._any_began = True

    def remove(self, heartbeat: Beating) -> None:
        """Renew its lease no more."""
        with self._in_beat, self._lock:
            self._beating.discard(heartbeat)

    def _run(self) -> None:
        while (seconds := self._until_next()) is not None:
            time.sleep(seconds)
            with self._in_beat:
                now = time.monotonic()
                with self._lock:
                    due = [heartbeat for heartbeat in self._beating if heartbeat.next_beat <= now]
                if due:
                    self._beat(due)

    def _until_next(self) -> float | None:
        """Return the seconds to the next look for leases to renew, or ``None`` if the thread is to end."""
        with self._lock:
            if not self._beating and not self._any_began:
                self._thread = None
                return None
            self._any_began = False
            now = time.monotonic()
            # An attempt that begins meanwhile is not due earlier than this.
            first = min(self.seconds / 3, FIRST_BEAT_SECONDS)
            return max(0.0, min([first, *(heartbeat.next_beat - now for heartbeat in self._beating)]))

    def _beat(self, due: Sequence[Beating]) -> None:
        """Renew the leases of those that are due."""
        started = time.monotonic()
        beats = {heartbeat: heartbeat.beat() for heartbeat in due}
        try:
            results = renew(self._database, dict(beats.values()), seconds=self.seconds)
        except Exception:
            for heartbeat in due:
                log.warning("heartbeat_failed", job_id=heartbeat.lease.job_id, exc_info=True)
                heartbeat.failed()
            return
        for heartbeat, (lease, progress) in beats.items():
            heartbeat.renewed(results.get(lease), started, progress)
