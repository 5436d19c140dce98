"""Checks of this machine: Python, disk space and the health port."""

from __future__ import annotations

import platform
import shutil
import socket
import sys

from ops.checks.finding import Finding, failed, ok, warn
from ops.checks.paths import nearest_existing
from ops.formatting import size
from ops.health_client import ask_health
from schemas.settings import Settings

_OLDEST = (3, 11)
_LOW_BYTES = 5_000_000_000
_TOO_LOW_BYTES = 500_000_000


def python() -> Finding:
    """Check the version of the interpreter."""
    if sys.version_info < _OLDEST:
        return failed(platform.python_version(), f"install Python {'.'.join(map(str, _OLDEST))} or newer")
    return ok(platform.python_version())


def scratch(settings: Settings) -> Finding:
    """Check the free disk space for work in progress."""
    folder = nearest_existing(settings.scratch_folder)
    free = shutil.disk_usage(folder).free
    advice = "free some space, or set TELECINE_SCRATCH to a larger disk"
    if free < _TOO_LOW_BYTES:
        return failed(f"{size(free)} free in {settings.scratch_folder}", advice)
    if free < _LOW_BYTES:
        return warn(f"{size(free)} free in {settings.scratch_folder}", advice)
    return ok(f"{size(free)} free in {settings.scratch_folder}")


def health_port(settings: Settings) -> Finding:
    """Check that the health port is free, or that a Telecine already serves it."""
    host, port = settings.health_host, settings.health_port
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return _taken(host, port, settings) or failed(
            f"{host}:{port}: {error.strerror}", "choose another TELECINE_HEALTH_PORT, or 0 for any free one"
        )
    return ok(f"{host}:{port} is free" if port else "any free port")


def _taken(host: str, port: int, settings: Settings) -> Finding | None:
    """Return the state of the Telecine that listens there, or ``None`` if it is another program."""
    answer = ask_health(settings, seconds=3)
    if answer is None:
        return None
    if not answer.same_ledger:
        return warn(
            f"another Telecine, with another ledger, listens on {host}:{port}",
            "choose another TELECINE_HEALTH_PORT for this one, or run this command with the settings of the other",
        )
    if answer.status == "healthy":
        return ok(f"a running Telecine on {host}:{port} is healthy")
    return warn(f"a running Telecine on {host}:{port} is {answer.status}", f"its /health reports {answer.faults}")
