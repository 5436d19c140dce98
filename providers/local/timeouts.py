"""The timeout of a local call."""

from __future__ import annotations

import time

from providers.local.base import Progress
from schemas.errors import RenderTimeout


def with_timeout(seconds: float, name: str, progress: Progress) -> Progress:
    """Return ``progress`` with a timeout: the call of model ``name`` ends after ``seconds``.

    The returned callback raises ``RenderTimeout`` if the time is over and the call is not finished.
    """
    ends = time.monotonic() + seconds

    def checked(part: float) -> None:
        progress(part)
        if part < 1 and time.monotonic() >= ends:
            raise RenderTimeout(
                f"{name} did not finish within {seconds:,.0f} s; request fewer scenes, frames or steps or a smaller "
                "size, or raise TELECINE_LOCAL_TIMEOUT_SECONDS"
            )

    return checked
