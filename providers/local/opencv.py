"""OpenCV, which is installed with the extra ``local``. Imported when first needed."""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def opencv() -> Any:
    """Return the module ``cv2``, limited to the calling thread: its thread pool would not survive a fork."""
    import cv2

    cv2.setNumThreads(1)
    return cv2
