"""How many processors this process may use."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def usable_processors(cgroups: Path = _CGROUPS) -> int:
    """Return the processors that this process may run on, or fewer if its container is limited to fewer (cgroups)."""
    allowed = len(os.sched_getaffinity(0))
    limit = _limit(cgroups)
    return allowed if limit is None else max(1, min(allowed, round(limit)))


def _limit(cgroups: Path) -> float | None:
    """Return the limit of processor time in processors; ``None`` if there is none, or no cgroups."""
    try:
        quota, period = (cgroups / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = ((cgroups / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        except OSError:
            return None
    return int(quota) / int(period) if quota.strip() not in ("max", "-1") else None
