"""Bars that move with the sound: how loud each range of frequencies is on each frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from pipelines.media.inspect.open_media import mono_samples
from pipelines.media.inspect.sound import plain_audio
from pipelines.media.layout import Box
from pipelines.media.text.canvas import Plane

#: Bars to each side of the middle: the low notes are in the middle, the high ones at both ends.
BARS = 24
_RATE = 12_000
_WINDOW = 1024
_LOWEST, _HIGHEST = 60.0, 5_500.0
#: Decibels below a range's loud moments that are no longer visible, and what a bar keeps of its height on each frame.
_RANGE, _KEPT = 30.0, 0.82
#: The loudest that a range may be to count as silent, in decibels of full scale.
_SILENCE = -70.0
#: The width of a bar as a share of its distance to the next one, and the height of a silent bar in widths.
_BAR, _SILENT = 0.55, 1.0
#: The opacity of the bars and of the dark edge around them, and the edge's width as a share of the bars' height.
_OPACITY, _EDGE_OPACITY, _EDGE = 0.92, 0.4, 0.03
_WHITE, _BLACK, _GREY = 235, 16, 128

_Floats = NDArray[np.float32]


def levels_of(path: Path, kind: str, start: float, frames: int, fps: int) -> NDArray[np.uint8]:
    """Return the heights of the bars, from 0 to 255: an array (frames, BARS), the lowest range first.

    Sound that cannot be mixed to one channel gives bars of no height.
    """
    powers = np.zeros((frames, BARS), np.float32)
    edges = np.geomspace(_LOWEST, _HIGHEST, BARS + 1) * _WINDOW / _RATE
    bins = np.arange(_WINDOW // 2 + 1)
    # Each range has at least the bin that is nearest to its middle.
    shares = np.array(
        [(bins >= low) & (bins < high) | (bins == round((low + high) / 2)) for low, high in pairwise(edges)],
        np.float32,
    ).T
    shape = np.hanning(_WINDOW).astype(np.float32)
    try:
        with plain_audio(path, kind) as plain:
            for number, window in enumerate(_windows(plain, kind, start, frames, fps)):
                powers[number] = (np.abs(np.fft.rfft(window * shape)) ** 2) @ shares
    except (av.FFmpegError, ValueError):
        return np.zeros((frames, BARS), np.uint8)
    decibels = 10 * np.log10(powers / (shape.sum() / 2) ** 2 + 1e-12)
    loud = np.maximum(np.percentile(decibels, 97, axis=0), _SILENCE + _RANGE)
    heights = ((decibels - loud) / _RANGE + 1).clip(0, 1)
    for number in range(1, frames):  # bars rise at once and fall slowly
        np.maximum(heights[number], heights[number - 1] * _KEPT, out=heights[number])
    levels: NDArray[np.uint8] = (heights * 255).astype(np.uint8)
    return levels


def _windows(path: Path, kind: str, start: float, frames: int, fps: int) -> Iterator[_Floats]:
    """Yield the sound around the middle of each frame; the last ones are missing if the sound is shorter."""
    first = round(start * _RATE) + _RATE // (2 * fps) - _WINDOW // 2
    buffer, at, number = np.zeros(_WINDOW, np.float32), -_WINDOW, 0  # silence before the start
    for part in mono_samples(path, kind, _RATE):
        buffer = np.concatenate([buffer, part])
        while number < frames and first + number * _RATE // fps + _WINDOW <= at + len(buffer):
            offset = first + number * _RATE // fps - at
            yield buffer[offset : offset + _WINDOW]
            number += 1
        drop = max(0, min(first + number * _RATE // fps - at, len(buffer)))
        buffer, at = buffer[drop:], at + drop
        if number == frames:
            return


class Waveform:
    """Draws the bars into frames."""

    def __init__(self, box: Box, levels: NDArray[np.uint8]) -> None:
        """Draw into ``box``, whose edges are even."""
        self._box, self._levels = box, levels
        distance = box.width / (2 * BARS - 1)
        bar = max(1.0, distance * _BAR)
        self._edge = max(1.0, box.height * _EDGE)
        across = np.arange(box.width, dtype=np.float32) + 0.5
        centres = (np.arange(2 * BARS - 1) + 0.5) * distance
        nearest = np.minimum((across / distance).astype(int), 2 * BARS - 2)
        self._bars = np.abs(nearest - (BARS - 1))
        off = np.abs(across - centres[nearest])
        self._inside, self._around = ((bar / 2 + more - off + 0.5).clip(0, 1) for more in (0.0, self._edge))
        self._silent = bar * _SILENT
        self._off_middle = np.abs(np.arange(box.height, dtype=np.float32) + 0.5 - box.height / 2)[:, None]

    def put_on(self, planes: Sequence[Plane], frame: int) -> None:
        """Blend the bars of this frame into its Y, U and V planes, in place."""
        level = self._levels[min(frame, len(self._levels) - 1)][self._bars] / np.float32(255)
        half = (self._silent + level * (self._box.height - 2 * self._edge - self._silent)) / 2
        for inside, more, color, opacity in (
            (self._around, self._edge, _BLACK, _EDGE_OPACITY),
            (self._inside, 0.0, _WHITE, _OPACITY),
        ):
            mask = (half + more - self._off_middle + 0.5).clip(0, 1) * inside * opacity
            small = mask.reshape(mask.shape[0] // 2, 2, -1, 2).mean((1, 3))
            for index, plane in enumerate(planes):
                share, tone = (small, _GREY) if index else (mask, color)
                left, top = self._box.left >> (index > 0), self._box.top >> (index > 0)
                part = plane[top : top + share.shape[0], left : left + share.shape[1]]
                part[:] = part + (tone - part.astype(np.float32)) * share + 0.5
