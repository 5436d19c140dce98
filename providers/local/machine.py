"""Memory and CPU usage of this machine, read from Linux's /proc and cgroup files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

#: Where a container's own limits are mounted.
_CGROUP_FOLDER = Path("/sys/fs/cgroup")


def memory_bytes() -> tuple[int, int]:
    """Return the total and the available main memory in bytes, within the limits of the container."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        page = os.sysconf("SC_PAGE_SIZE")
        total = free = page * os.sysconf("SC_PHYS_PAGES")
    limit, left = _cgroup_memory()
    return min(total, limit or total), free if left is None else max(0, min(free, left))


def cpu_percent(seconds: float = 0.1) -> float:
    """Return the CPU usage in percent, measured for ``seconds``; 0 where /proc/stat does not exist."""
    before = _cpu_times()
    time.sleep(seconds)
    busy, whole = (after - earlier for after, earlier in zip(_cpu_times(), before, strict=True))
    return round(100 * busy / whole, 1) if whole > 0 else 0.0


def peak_bytes(work: Callable[[], object], kind: str) -> int:
    """Run ``work``; return its peak memory: of the GPU if ``kind`` is ``cuda``, else of this process.

    The peak of the process is known on Linux only; elsewhere the result is 0.
    """
    if kind == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        work()
        return int(torch.cuda.max_memory_allocated())
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        work()
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _cpu_times() -> tuple[int, int]:
    try:
        values = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return 0, 0
    idle = values[3] + values[4]
    return sum(values) - idle, sum(values)


def _cgroup_memory() -> tuple[int | None, int | None]:
    """Return the container's memory limit and what is left of it.

    Inactive page cache counts as available: the kernel reclaims it.
    """
    try:
        limit = int((_CGROUP_FOLDER / "memory.max").read_text())
        used = int((_CGROUP_FOLDER / "memory.current").read_text())
        details = dict(line.split() for line in (_CGROUP_FOLDER / "memory.stat").read_text().splitlines())
        return limit, limit - used + int(details.get("inactive_file", 0))
    except (OSError, ValueError):
        return None, None
