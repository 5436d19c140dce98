"""Memory and processor of this machine, from what Linux tells; zeros elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

#: Where a container sees its own limits.
_CONTROL_GROUP = Path("/sys/fs/cgroup")


def memory_bytes() -> tuple[int, int]:
    """Main memory in all, and what a program could take now."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        page = os.sysconf("SC_PAGE_SIZE")
        total = free = page * os.sysconf("SC_PHYS_PAGES")
    limit, left = _control_group()
    return min(total, limit or total), free if left is None else max(0, min(free, left))


def cpu_percent(seconds: float = 0.1) -> float:
    """How busy the processor is, measured for ``seconds``."""
    before = _times()
    time.sleep(seconds)
    busy, whole = (after - earlier for after, earlier in zip(_times(), before, strict=True))
    return round(100 * busy / whole, 1) if whole > 0 else 0.0


def peak_bytes(work: Callable[[], object], kind: str) -> int:
    """The most memory while ``work`` runs: of the card, else of this process (Linux tells; elsewhere 0)."""
    if kind == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        work()
        return int(torch.cuda.max_memory_allocated())
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forgets the highest so far
        work()
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _times() -> tuple[int, int]:
    try:
        values = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return 0, 0
    idle = values[3] + values[4]
    return sum(values) - idle, sum(values)


def _control_group() -> tuple[int | None, int | None]:
    """What a container may take, and what of that is left: copies of files that nobody reads now make way."""
    try:
        limit = int((_CONTROL_GROUP / "memory.max").read_text())
        used = int((_CONTROL_GROUP / "memory.current").read_text())
        facts = dict(line.split() for line in (_CONTROL_GROUP / "memory.stat").read_text().splitlines())
        return limit, limit - used + int(facts.get("inactive_file", 0))
    except (OSError, ValueError):
        return None, None
