"""``telecine worker`` as a child process of ``telecine up``."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import site
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import ops
from consumer.logs import logger
from consumer.service import Named
from consumer.wakeups.connection import CONNECTED, NOT_CONNECTED, QUEUED
from pipelines.media.sandbox.rlimits import die_with_parent

log = logger(__name__)

_RESTART_SECONDS = 1.0
_READ_SECONDS = 0.2
# Less than the grace period of ``telecine up``, so that jobs cut off here can still be released.
_GRACE_SECONDS = 15.0
#: A worker that exits this often in a row, each time within ``_STABLE_SECONDS``, does not recover by being restarted.
_QUICK_EXITS = 5
_STABLE_SECONDS = 60.0
_ROOT = str(Path(ops.__file__).parent.parent)


def worker_command(roles: Sequence[str], status_fd: int, *, report_callbacks: bool) -> list[str]:
    """Return the command of a worker that writes to ``status_fd`` whether it is connected to the broker.

    With ``report_callbacks``, it also writes there that it has queued callbacks.
    ``-P`` keeps the working directory out of the module search path.
    """
    options = ["--role", ",".join(roles), "--no-health", "--status-fd", str(status_fd)]
    if report_callbacks:
        options.append("--report-callbacks")
    return [sys.executable, "-P", "-m", "ops.cli.main", "worker", *options]


def worker_environment() -> dict[str, str]:
    """Return this process's environment, in which the folder that this process was imported from is found first.

    So the worker runs the same code as this process, even if the working directory or another folder of ``PYTHONPATH``
    has packages of the same names. ``PYTHONPATH`` precedes the standard library, so site-packages must not be in it.
    """
    if _ROOT in site.getsitepackages():
        return dict(os.environ)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))}


class WorkerProcess:
    """A loop that keeps one worker running and restarts it when it dies. Its parent serves the health port."""

    def __init__(self, roles: Sequence[str], announce: Callable[[], None] | None = None) -> None:
        self.roles = tuple(roles)
        #: Called when the worker has queued callbacks. Without it, the worker announces them itself.
        self._announce = announce
        self._stopped = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._connected = False
        self._quick_exits = 0

    @property
    def connected(self) -> bool:
        """Whether the worker runs and is connected to its broker."""
        return self._connected and self._child is not None and self._child.poll() is None

    @property
    def keeps_exiting(self) -> bool:
        """Whether the worker exited several times in a row, each time soon after its start."""
        return self._quick_exits >= _QUICK_EXITS

    def run(self) -> None:
        """Keep the worker running until ``stop`` is called, then wait for its running jobs."""
        while not self._stopped.is_set():
            # The child dies with this process; otherwise each kill -9 of it would leave a worker behind.
            self._child, status = self._start()
            started = time.monotonic()
            while self._child.poll() is None and not self._stopped.is_set():
                self._read(status)
                if time.monotonic() - started > _STABLE_SECONDS:
                    self._quick_exits = 0
            os.close(status)
            self._connected = False
            if not self._stopped.is_set():
                self._quick_exits += 1
                log.warning("worker_process_exited", status=self._child.returncode)
                self._stopped.wait(_RESTART_SECONDS)
        if self._child is not None and self._child.poll() is None:
            self._end(self._child)

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        """Start a worker, and return it and the pipe in which it reports its connection."""
        status, theirs = os.pipe()
        try:
            child = subprocess.Popen(
                worker_command(self.roles, theirs, report_callbacks=self._announce is not None),
                env=worker_environment(),
                pass_fds=[theirs],
                preexec_fn=die_with_parent(os.getpid()),
            )
        finally:
            os.close(theirs)
        return child, status

    def _read(self, status: int) -> None:
        """Take over what the worker reports, waiting for it for a moment."""
        poll = select.poll()
        poll.register(status, select.POLLIN)
        if not poll.poll(_READ_SECONDS * 1000):
            return
        reported = os.read(status, 4096)
        if not reported:  # the worker is about to end
            self._stopped.wait(_READ_SECONDS)
        if CONNECTED in reported or NOT_CONNECTED in reported:
            self._connected = reported.rfind(CONNECTED) > reported.rfind(NOT_CONNECTED)
        if QUEUED in reported and self._announce is not None:
            self._announce()

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


def worker_processes(roles: Sequence[str], announce: Callable[[], None] | None) -> list[Named]:
    """Return one worker, and a separate one for the role ``gpu``. ``announce`` is called for their callbacks.

    The GPU worker runs one job at a time, and jobs of other roles must not wait behind it.
    """
    others = [role for role in roles if role != "gpu"]
    workers = [Named("worker", WorkerProcess(others, announce))] if others else []
    return [*workers, Named("worker-gpu", WorkerProcess(["gpu"], announce))] if "gpu" in roles else workers


def _children(pid: int) -> list[str]:
    """Return the process ids of a process's children; an empty list where there is no /proc."""
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
