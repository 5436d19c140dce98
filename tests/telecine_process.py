"""Telecine as users run it: in a separate process, which tests may kill."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from consumer.ledger.database import Database
from consumer.ledger.queries import find_job
from consumer.ledger.records import Job
from consumer.wiring import open_ledger
from schemas.settings import Settings
from tests.servers.hosts import Host

ROOT = Path(__file__).resolve().parent.parent


class TelecineProcess:
    """``telecine`` with its own settings and data folder.

    ``start`` runs ``telecine up``; ``kill`` sends SIGKILL to it and all its children. Leases and timeouts are short,
    but longer than a busy machine stalls, so that none expires by itself in a test.
    """

    def __init__(self, home: Path, host: Host | None = None, /, *, notes: bool = False, **settings: object) -> None:
        self.home = home
        self._host = host
        self.home.mkdir(parents=True, exist_ok=True)
        chosen: dict[str, object] = {
            "home": home,
            "health_port": 0,
            "allowed_private_hosts": "127.0.0.1",
            "lease_seconds": 12,
            "sweep_seconds": 0.3,
            "retry_seconds": 0.5,
            "outbox_poll_seconds": 0.1,
            "callback_timeout_seconds": 5,
            "callback_schedule_seconds": "0.3,0.5,1,2",
            "wake_again_seconds": 2,
            "concurrency": 2,
            "log_format": "json",
        }
        if notes:
            chosen["extensions"] = "tests.note_pipeline"
        chosen |= settings
        self.environment: dict[str, str] = {f"TELECINE_{name.upper()}": str(value) for name, value in chosen.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self.log = home / "up.log"

    def start(self, *, env: Mapping[str, str] | None = None, arguments: tuple[str, ...] = ("up",)) -> Self:
        """Start Telecine and wait until its ledger exists."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(*arguments),
                cwd=ROOT,
                env=self._environment(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def run(
        self, *arguments: str, stdin: bytes = b"", check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a ``telecine`` command and wait for its end."""
        return subprocess.run(
            self._command(*arguments),
            cwd=ROOT,
            env=self._environment(None),
            input=stdin,
            capture_output=True,
            check=check,
            timeout=timeout,
        )

    def submit(self, request: Mapping[str, Any]) -> None:
        """Submit a request with ``telecine submit -``."""
        self.run("submit", "-", stdin=json.dumps(request).encode())

    def kill(self) -> None:
        """Send SIGKILL to the whole process group."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)

    def wait_for_death(self, timeout: float = 90) -> int:
        """Wait until the process ends by itself, kill the rest of its group and return the exit status."""
        assert self._process is not None
        status = self._process.wait(timeout)
        self.kill()
        return status

    def stop(self, timeout: float = 60) -> int:
        """Send SIGTERM and return the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    @property
    def running(self) -> bool:
        """Whether the main process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def settings(self) -> Settings:
        """The settings of its processes."""
        saved = dict(os.environ)
        os.environ.update(self.environment)
        try:
            return Settings()
        finally:
            os.environ.clear()
            os.environ.update(saved)

    @property
    def pid(self) -> int:
        """The id of the main process."""
        assert self._process is not None
        return self._process.pid

    def log_lines(self) -> list[dict[str, Any]]:
        """Return everything that it has printed so far, on stdout and stderr; each line has to be a JSON object."""
        lines = self.log.read_text().splitlines()
        others = [line for line in lines if not line.startswith("{")]
        assert others == [], "\n".join(others)
        return [dict(json.loads(line)) for line in lines]

    def database(self) -> Database:
        """Open its ledger; the caller closes it."""
        return open_ledger(self.settings)

    def wait_for_job(self, job_id: str, *, timeout: float = 90) -> Job:
        """Wait until the job has ended and return it."""
        database = self.database()
        try:
            job: Job = wait_until(
                lambda: _ended(database, job_id), timeout=timeout, what=lambda: self._state(database, job_id)
            )
            return job
        finally:
            database.close()

    def _state(self, database: Database, job_id: str) -> str:
        tail = self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""
        return f"job {job_id}: {find_job(database, job_id)}\nlog: …{tail}"

    def _command(self, *arguments: str) -> list[str]:
        inside = self._host.enter() if self._host is not None else []
        return [*inside, sys.executable, "-m", "ops.cli.main", *arguments]

    def inherited(self) -> dict[str, str]:
        """Return the environment of its processes, for other programs that share its settings."""
        return self._environment(None)

    def _environment(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TELECINE_", "SENTRY_"))}
        return {**inherited, **self.environment, **(extra or {})}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.kill()


def wait_until(probe: Callable[[], Any], *, timeout: float = 60, what: Callable[[], str] = lambda: "") -> Any:
    """Call ``probe`` until it returns a true value, and return that value.

    Raises:
        AssertionError: the time is up; the message ends with the result of ``what``.
    """
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline  # read before the probe, so that a stall in between does not fail the wait
        found = probe()
        if found:
            return found
        if late:
            raise AssertionError(f"did not happen within {timeout:g} s: {what()}")
        time.sleep(0.05)


def _ended(database: Database, job_id: str) -> Job | None:
    job = find_job(database, job_id)
    return job if job is not None and job.terminal else None
