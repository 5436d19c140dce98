"""What ends a call besides itself: its time, and a device that no longer answers."""

from __future__ import annotations

import time

from providers.local.base import Device, Progress
from schemas.errors import RenderTimeout


def within(seconds: float, name: str, progress: Progress) -> Progress:
    """``progress``, which ends the call of ``name`` once ``seconds`` have passed.

    Raises:
        RenderTimeout: they have, and the call is not done.
    """
    ends = time.monotonic() + seconds

    def told(part: float) -> None:
        progress(part)
        if part < 1 and time.monotonic() >= ends:
            raise RenderTimeout(
                f"{name} was given {seconds:,.0f} s and was not done; ask for fewer scenes, frames or steps or for a "
                "smaller size, or raise TELECINE_LOCAL_TIMEOUT_SECONDS"
            )

    return told


def answers(device: Device) -> bool:
    """Whether the device still does. After some faults every call of CUDA fails, for as long as the process lives."""
    try:
        device.free_bytes()
    except Exception:
        return False
    return True
