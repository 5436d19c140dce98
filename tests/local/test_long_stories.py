"""A long story takes no more memory than a short one: frames are encoded as they are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.media.silent_film import Pixels, crossfade, write_silent_film
from pipelines.models.local_story import shots
from providers.local.machine import peak_bytes

SIDE = 512
#: Size of a frame in the encoder's pixel format.
FRAME_BYTES = SIDE * SIDE * 3 // 2


def test_memory_does_not_grow_with_the_length_of_a_story(tmp_path: Path) -> None:
    pictures = [np.full((SIDE, SIDE, 3), shade, np.uint8) for shade in (40, 200)]

    def draw(name: str) -> Pixels:
        scene, fade = map(int, name.split("/"))
        here, there = pictures[scene % 2], pictures[(scene + 1) % 2]
        return crossfade(here, there, fade, 60) if fade else here

    def written(scenes: int) -> int:
        film = list(shots(scenes, 12, 60))
        return peak_bytes(
            lambda: write_silent_film(tmp_path / f"{scenes}.mp4", film, draw, fps=24, progress=lambda part: None), "cpu"
        )

    written(3)  # imports and one-time allocations
    short, long = written(6), written(24)
    assert short > 0
    assert long - short < 100 * FRAME_BYTES, "1,296 frames more"
