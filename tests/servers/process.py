"""Starting and stopping server processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path


class ServerMissing(Exception):
    """A program that the tests need is not installed."""


class ServerFailed(Exception):
    """A server did not start; the message ends with its log."""


def program(name: str, *folders: str) -> str:
    """Return the path of an installed program.

    Raises:
        ServerMissing: it is not installed; `make test` installs it.
    """
    path = os.pathsep.join([*folders, os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise ServerMissing(f"{name} is not installed. Run `make test` once: it installs the servers the tests need.")
    return found


def spawn(
    command: list[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a server in its own process group, with its output in ``log``."""
    with log.open("ab") as sink:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            cwd=folder,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )


def end(process: subprocess.Popen[bytes], how: signal.Signals, patience_seconds: float = 30.0) -> None:
    """Stop the process with signal ``how``, then kill the rest of its process group."""
    if process.poll() is None and how is not signal.SIGKILL:
        process.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_seconds)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def wait_until(ready: Callable[[], bool], what: str, log: Path, *, seconds: float = 120.0) -> None:
    """Wait until ``ready()`` is true.

    Raises:
        ServerFailed: the time is up.
    """
    last = time.monotonic() + seconds
    while True:
        late = time.monotonic() >= last
        if ready():
            return
        if late:
            break
        time.sleep(0.05)
    output = log.read_text(errors="replace")[-2_000:] if log.exists() else ""
    raise ServerFailed(f"{what} was not ready after {seconds:.0f} s. Its log:\n{output}")
