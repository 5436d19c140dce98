"""The owner of a lease: an id of this process that no other process ever has.

On the same machine the lease of a dead process is released at once, before it expires.
"""

from __future__ import annotations

import functools
import os
import socket
import uuid
from pathlib import Path

_NONCE = uuid.uuid4().hex[:8]


def this_process() -> str:
    """Return ``boot/pid-namespace/host/pid/start-time/nonce``; unknown parts are ``-`` (not Linux)."""
    return _name_of(os.getpid())


@functools.cache
def _name_of(pid: int) -> str:
    # By process id, because a forked child is another owner.
    return "/".join((_boot(), _namespace(), socket.gethostname()[:64], str(pid), _started(pid) or "-", _NONCE))


def is_gone(owner: str) -> bool:
    """Return whether the owner certainly no longer runs. Nothing is certain of another machine or container."""
    if not is_near(owner):
        return False
    _, _, _, pid, started, _ = owner.split("/")
    return _started(int(pid)) != started


def is_near(owner: str) -> bool:
    """Return whether the owner is in our boot and PID namespace, so that its liveness is observable."""
    parts = owner.split("/")
    return len(parts) == 6 and "-" not in parts[:2] and parts[:2] == [_boot(), _namespace()]


def label(owner: str | None) -> str:
    """Return the owner for people: ``host:pid``."""
    parts = (owner or "").split("/")
    return f"{parts[2]}:{parts[3]}" if len(parts) == 6 else (owner or "nobody")


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "-"


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return "-"


def _started(pid: int) -> str | None:
    """Return the process's start in clock ticks since boot; ``None`` if it does not exist or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
