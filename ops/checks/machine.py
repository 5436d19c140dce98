"""Checks of this machine: Python, disk space and the health port."""

from __future__ import annotations

import json
import platform
import shutil
import socket
import sys
import urllib.error
import urllib.request

from ops.checks.finding import Finding, failed, ok, warn
from ops.checks.paths import nearest_existing
from ops.formatting import size
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
        return _taken(host, port) or failed(
            f"{host}:{port}: {error.strerror}", "choose another TELECINE_HEALTH_PORT, or 0 for any free one"
        )
    return ok(f"{host}:{port} is free" if port else "any free port")


def _taken(host: str, port: int) -> Finding | None:
    """Return the state of the Telecine that listens there, or ``None`` if it is another program."""
    name = "127.0.0.1" if host in ("0.0.0.0", "") else f"[{host}]" if ":" in host else host  # noqa: S104 - compared, not bound
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://{name}:{port}/health", timeout=3) as answer:
            report = json.load(answer)
    except urllib.error.HTTPError as error:
        try:
            report = json.load(error)
        except ValueError:
            return None
    except (OSError, ValueError):
        return None
    if not isinstance(report, dict) or "checks" not in report:
        return None
    if report.get("status") == "healthy":
        return ok(f"a running Telecine on {host}:{port} is healthy")
    unwell = ", ".join(f"{part}: {word}" for part, word in report["checks"].items() if word != "ok")
    return warn(f"a running Telecine on {host}:{port} is {report.get('status')}", f"its /health reports {unwell}")
