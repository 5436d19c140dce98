"""Limits of a local call: its timeout, and whether the device still responds."""

from __future__ import annotations

import time

from providers.local.base import Device, Progress
from schemas.errors import RenderTimeout


def within(seconds: float, name: str, progress: Progress) -> Progress:
    """Return ``progress`` with a timeout: the call of model ``name`` ends after ``seconds``.

    The returned callback raises ``RenderTimeout`` if the time is over and the call is not finished.
    """
    ends = time.monotonic() + seconds

    def told(part: float) -> None:
        progress(part)
        if part < 1 and time.monotonic() >= ends:
            raise RenderTimeout(
                f"{name} did not finish within {seconds:,.0f} s; request fewer scenes, frames or steps or a smaller "
                "size, or raise TELECINE_LOCAL_TIMEOUT_SECONDS"
            )

    return told


def answers(device: Device) -> bool:
    """Return whether the device still responds.

    After some faults every CUDA call fails until the process ends.
    """
    try:
        device.free_bytes()
    except Exception:
        return False
    return True
