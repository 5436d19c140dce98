"""``telecine worker`` as a child of ``telecine up``."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence

from consumer.logs import logger

log = logger(__name__)

_RESTART_SECONDS = 1.0


class WorkerProcess:
    """A loop that keeps one worker running, started again when it dies. It serves no health: its parent does."""

    def __init__(self, roles: Sequence[str]) -> None:
        self._command = [sys.executable, "-m", "ops.cli.main", "worker", "--role", ",".join(roles), "--no-health"]
        self._stopped = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def connected(self) -> bool:
        """Whether the worker runs."""
        return self._child is not None and self._child.poll() is None

    def run(self) -> None:
        """Keeps the worker running until ``stop``, then waits for its running jobs."""
        while not self._stopped.is_set():
            self._child = subprocess.Popen(self._command)
            while self._child.poll() is None and not self._stopped.wait(0.2):
                pass
            if not self._stopped.is_set():
                log.warning("worker_died", status=self._child.returncode)
                self._stopped.wait(_RESTART_SECONDS)
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            self._child.wait()

    def stop(self) -> None:
        """Warm shutdown: running jobs are finished."""
        self._stopped.set()
