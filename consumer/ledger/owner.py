"""Who holds a lease: this very process, told apart from any other that ever ran.

On the same machine a lease of a process that is gone need not run out: it is released at once.
"""

from __future__ import annotations

import functools
import os
import socket
import uuid
from pathlib import Path

_NONCE = uuid.uuid4().hex[:8]


def this_process() -> str:
    """``boot/pid-namespace/host/pid/start-time/nonce``; unknown parts are ``-`` (not Linux)."""
    return _name_of(os.getpid())


@functools.cache
def _name_of(pid: int) -> str:
    # By process id, because a forked child is another owner.
    return "/".join((_boot(), _namespace(), socket.gethostname()[:64], str(pid), _started(pid) or "-", _NONCE))


def is_gone(owner: str) -> bool:
    """Whether the owner certainly no longer runs. Of another machine or container nothing is certain."""
    if not is_near(owner):
        return False
    _, _, _, pid, started, _ = owner.split("/")
    return _started(int(pid)) != started


def is_near(owner: str) -> bool:
    """Whether the owner was started since this machine's boot and in this container: whether it runs can be seen."""
    parts = owner.split("/")
    return len(parts) == 6 and "-" not in parts[:2] and parts[:2] == [_boot(), _namespace()]


def label(owner: str | None) -> str:
    """The owner for people: ``host:pid``."""
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
    """The process's start in clock ticks since boot; ``None`` when there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
