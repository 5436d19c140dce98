"""OpenCV, which comes with the extra ``local``. Imported when it is first wanted."""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def opencv() -> Any:
    """The module ``cv2``, on the thread that calls it: its own pool would not outlive a fork."""
    import cv2

    cv2.setNumThreads(1)
    return cv2
