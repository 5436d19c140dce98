"""The Celery worker inside another process: the embedded mode's, on kombu's in-memory transport."""

from __future__ import annotations

import threading

from celery import Celery

from consumer.wakeups.queues import wake_queues


class EmbeddedWorker:
    """A Celery worker as a loop. Its pool is threads: what is heavy runs in child processes anyway."""

    def __init__(self, app: Celery, *, concurrency: int) -> None:
        self._worker = app.WorkController(
            pool="threads",
            concurrency=concurrency,
            queues=wake_queues(),
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            hostname="embedded@localhost",
            loglevel="WARNING",
        )
        self._ended = threading.Event()

    def run(self) -> None:
        """Works until ``stop``."""
        try:
            self._worker.start()
        finally:
            self._ended.set()

    def stop(self) -> None:
        """Takes no more jobs; running ones go on until they are done or the process ends."""
        from celery.worker import state

        state.should_stop = 0  # type: ignore[assignment]
