"""``telecine worker`` as a child of ``telecine up``."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from consumer.logs import logger
from consumer.service import Named
from pipelines.media.sandbox.rlimits import die_with_parent

log = logger(__name__)

_RESTART_SECONDS = 1.0
# Less than the grace of the whole, so that what was cut off can still be handed back.
_GRACE_SECONDS = 15.0


class WorkerProcess:
    """A loop that keeps one worker running, started again when it dies. It serves no health: its parent does."""

    def __init__(self, roles: Sequence[str]) -> None:
        self.roles = tuple(roles)
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
            # Dies with this process, or each kill -9 of it would leave one more worker behind.
            self._child = subprocess.Popen(self._command, preexec_fn=die_with_parent(os.getpid()))
            while self._child.poll() is None and not self._stopped.wait(0.2):
                pass
            if not self._stopped.is_set():
                log.warning("worker_died", status=self._child.returncode)
                self._stopped.wait(_RESTART_SECONDS)
        if self._child is not None and self._child.poll() is None:
            self._end(self._child)

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        """Warm shutdown; a worker that is not done in time is killed with its pool, and its jobs go on elsewhere."""
        child.terminate()
        try:
            child.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("worker_killed", seconds=_GRACE_SECONDS)
            pool = [int(pid) for pid in _children(child.pid)]
            child.kill()
            for pid in pool:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            child.wait()

    def stop(self) -> None:
        """Warm shutdown: running jobs are finished."""
        self._stopped.set()


def worker_processes(roles: Sequence[str]) -> list[Named]:
    """One worker, and one more for local models: it does one job at a time, behind which no other kind should wait."""
    others = [role for role in roles if role != "gpu"]
    workers = [Named("worker", WorkerProcess(others))] if others else []
    return [*workers, Named("worker-gpu", WorkerProcess(["gpu"]))] if "gpu" in roles else workers


def _children(pid: int) -> list[str]:
    """The process ids of a process's children; none where there is no /proc."""
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
