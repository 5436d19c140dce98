"""Waiting for jobs: one query for all calls that wait, so that a thousand of them cost as much as a few."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

from anyio.to_thread import run_sync

from consumer.ledger.database import Database
from consumer.ledger.queries import progress_of
from consumer.logs import logger
from ops.edge.refusal import Refusal

log = logger(__name__)

_POLL_SECONDS = 0.1
#: With many waiting calls the ledger is asked less often.
_SECONDS_PER_JOB = 0.001
_FAILED_SECONDS = 1.0
#: Most ids in one statement.
_BATCH = 500

#: State, progress and time of receipt; ``None`` for a job that does not exist.
Snapshot = tuple[str, int, float] | None
#: In place of a snapshot, before the first is taken.
UNSEEN = ("", -1, 0.0)


class LedgerWatch:
    """Reads the progress of the jobs that calls wait for. Start ``run`` as a task."""

    def __init__(self, database: Database, *, most: int) -> None:
        self._database = database
        self._most = most
        self._open = 0
        self._waiting: dict[str, set[asyncio.Future[Snapshot]]] = {}
        self._some = asyncio.Event()

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Count one waiting call.

        Raises:
            Refusal: As many wait already as the settings allow.
        """
        if self._open >= self._most:
            raise Refusal(503, "too_many_waits", "too many calls wait for a result; ask again later", retry_after="10")
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def changed(self, job_id: str, seen: Snapshot, seconds: float) -> Snapshot:
        """Return the job's snapshot as soon as it differs from ``seen``, or after ``seconds``."""
        deadline = time.monotonic() + seconds
        found = seen
        while found == seen and (left := deadline - time.monotonic()) > 0:
            found = await self._next(job_id, seen, left)
        return found

    async def run(self) -> None:
        """Read until cancelled. Errors are logged, and the calls wait on."""
        while True:
            await self._some.wait()
            ids = list(self._waiting)
            try:
                found: dict[str, tuple[str, int, float]] = {}
                for first in range(0, len(ids), _BATCH):
                    found |= await run_sync(progress_of, self._database, ids[first : first + _BATCH])
            except Exception:
                log.warning("edge_watch_failed", exc_info=True)
                await asyncio.sleep(_FAILED_SECONDS)
                continue
            for job_id in ids:
                for future in self._waiting.get(job_id, ()):
                    if not future.done():
                        future.set_result(found.get(job_id))
            await asyncio.sleep(max(_POLL_SECONDS, len(ids) * _SECONDS_PER_JOB))

    async def _next(self, job_id: str, seen: Snapshot, seconds: float) -> Snapshot:
        """Return the next snapshot that is taken; ``seen`` if none is in time."""
        future: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(job_id, set())
        waiting.add(future)
        self._some.set()
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            return seen
        finally:
            waiting.discard(future)
            if not waiting and self._waiting.get(job_id) is waiting:
                del self._waiting[job_id]
            if not self._waiting:
                self._some.clear()
