"""How late an acoustic model recognises words: the beginnings of the sound after pauses show it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.media.align.recording import LEVEL_RATE

#: The delay measured on songs, in seconds, for recordings whose words do not begin out of silence.
_SONG_DELAY = 0.04
_MOST_DELAY = 0.15
#: A rise of the energy in decibels that only speech out of silence has.
_CLEAR_RISE = 20.0
#: The steepest rise comes this much after a word's beginning, in seconds: measured on constructed speech.
_SLOPE = 0.02
#: Frames of 10 ms: how many are compared before and after a moment, and where a beginning is looked for.
_COMPARED, _EARLIER, _LATER = 6, 30, 6


def onset_delay(levels: NDArray[np.float32], starts: Sequence[float]) -> float:
    """Return by how many seconds the ``starts`` of words after pauses are late, at most 0.15.

    ``levels`` is the energy in decibels, every 10 ms. A CTC network recognises a sound after it has begun: by 80 to
    100 ms in speech, by 10 to 60 ms in songs.
    """
    rises = [rise for start in starts if (rise := _steepest(levels, round(start * LEVEL_RATE))) is not None]
    if not rises or np.median([height for height, _ in rises]) < _CLEAR_RISE:
        return _SONG_DELAY
    late = float(np.median([frames for _, frames in rises])) / LEVEL_RATE + _SLOPE
    return min(max(late, 0.0), _MOST_DELAY)


def _steepest(energy: NDArray[np.float32], at: int) -> tuple[float, int] | None:
    """Return the steepest rise near frame ``at`` in decibels, and how many frames before ``at`` it is."""
    places = range(max(_COMPARED, at - _EARLIER), min(len(energy) - _COMPARED, at + _LATER))
    rises = ((energy[n : n + _COMPARED].mean() - energy[n - _COMPARED : n].mean(), at - n) for n in places)
    return max(((float(height), frames) for height, frames in rises), default=None)
