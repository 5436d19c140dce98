"""A ministack server for the tests: AWS's S3, SQS and SNS in one small process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers.hosts import Host
from tests.servers.ports import answers, free_port
from tests.servers.process import end, program, spawn, wait_until

#: Installed by install.sh in a virtual environment of its own, because it pins another botocore.
_OWN_PYTHON = Path(__file__).parent / ".ministack" / "bin" / "python"


class Ministack:
    """A server for S3, SQS and SNS that loses its data when it stops."""

    access_key = "test"
    secret_key = "test"
    region = "us-east-1"

    def __init__(self, host: Host | None = None) -> None:
        self._command = [*(host.enter() if host else []), *_command()]
        self._address = host.address if host else "127.0.0.1"
        self._folder = Path(tempfile.mkdtemp(prefix="telecine-ministack-"))
        self.port = free_port()
        self._log = self._folder / "out"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The endpoint of all services."""
        return f"http://{self._address}:{self.port}"

    def start(self) -> None:
        """Start the server without data."""
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self._folder),
            "BIND_HOST": self._address,
            "GATEWAY_PORT": str(self.port),
        }
        self._process = spawn(self._command, self._log, environment=environment, folder=self._folder)
        wait_until(lambda: answers(self.port, self._address), "ministack", self._log)

    def stop(self) -> None:
        """Stop the server."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop the server and delete its files."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            end(self._process, how)
            self._process = None


def _command() -> list[str]:
    if _OWN_PYTHON.exists():
        return [str(_OWN_PYTHON), "-m", "ministack"]
    return [program("ministack", str(Path(sys.executable).parent))]
