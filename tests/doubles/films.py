"""A small, real film that the doubles serve as a result: H.264 in MP4, encoded once per process."""

from __future__ import annotations

import io
from functools import lru_cache

import av
import numpy as np


@lru_cache(maxsize=8)
def small_film(width: int = 96, height: int = 64, seconds: float = 1.0, fps: int = 24) -> bytes:
    """Return an MP4 in which a light bar moves across a dark background."""
    into = io.BytesIO()
    with av.open(into, "w", format="mp4") as film:
        stream = film.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "30"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        count = round(seconds * fps)
        for number in range(count):
            pixels = np.full((height, width, 3), 32, dtype=np.uint8)
            place = number * (width - 8) // max(count - 1, 1)
            pixels[:, place : place + 8] = (220, 180, 60)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                film.mux(packet)
        for packet in stream.encode():
            film.mux(packet)
    return into.getvalue()
