"""``telecine worker`` as a child process of ``telecine up``."""

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
# Less than the grace period of ``telecine up``, so that jobs cut off here can still be released.
_GRACE_SECONDS = 15.0


class WorkerProcess:
    """A loop that keeps one worker running and restarts it when it dies. Its parent serves the health port."""

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
        """Keep the worker running until ``stop`` is called, then wait for its running jobs."""
        while not self._stopped.is_set():
            # The child dies with this process; otherwise each kill -9 of it would leave a worker behind.
            self._child = subprocess.Popen(self._command, preexec_fn=die_with_parent(os.getpid()))
            while self._child.poll() is None and not self._stopped.wait(0.2):
                pass
            if not self._stopped.is_set():
                log.warning("worker_process_exited", status=self._child.returncode)
                self._stopped.wait(_RESTART_SECONDS)
        if self._child is not None and self._child.poll() is None:
            self._end(self._child)

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        """Shut the worker down warmly. One that takes too long is killed with its pool; others continue its jobs."""
        child.terminate()
        try:
            child.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("worker_process_killed", seconds=_GRACE_SECONDS)
            pool = [int(pid) for pid in _children(child.pid)]
            child.kill()
            for pid in pool:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            child.wait()

    def stop(self) -> None:
        """Request a warm shutdown: running jobs are finished."""
        self._stopped.set()


def worker_processes(roles: Sequence[str]) -> list[Named]:
    """Return one worker, and a separate one for the role ``gpu``.

    The GPU worker runs one job at a time, and jobs of other roles must not wait behind it.
    """
    others = [role for role in roles if role != "gpu"]
    workers = [Named("worker", WorkerProcess(others))] if others else []
    return [*workers, Named("worker-gpu", WorkerProcess(["gpu"]))] if "gpu" in roles else workers


def _children(pid: int) -> list[str]:
    """Return the process ids of a process's children; an empty list where there is no /proc."""
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
