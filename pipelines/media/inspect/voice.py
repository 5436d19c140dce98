"""Where a recording may have a voice: moments that are loud in the frequencies of speech."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from pipelines.media.inspect.open_media import mono_samples
from pipelines.media.inspect.sound import plain_audio

#: Activities per second.
RATE = 50
_SAMPLE_RATE = 8_000
_HOP = _SAMPLE_RATE // RATE
_WINDOW = 2 * _HOP
#: The lowest frequency in hertz that counts. Power counts in proportion to its frequency: a voice has more than drums,
#: bass and accompaniment have where consonants and the brightness of vowels are.
_LOWEST = 200
#: A moment is active from this share of the way between the levels of quiet and of loud moments (percentiles).
_THRESHOLD, _QUIET, _LOUD = 0.45, 10, 95
#: Quieter moments in decibels below the loud ones are all the same: silence.
_SILENCE = 60.0
#: Moments around one, of which most of half must be active: consonants are no pauses, and a click is no voice.
_AROUND, _ENOUGH = 7, 3
#: Seconds of sound that are analysed at once.
_BLOCK_SECONDS = 30

_Samples = NDArray[np.float32]


def voice_activity(path: Path, kind: str, seconds: float) -> NDArray[np.bool_]:
    """Return for each moment of ``seconds`` of sound whether it may have a voice, ``RATE`` moments a second.

    All moments are active if none is louder than the others, or if the sound cannot be mixed to one channel.
    """
    count = max(1, round(seconds * RATE))
    try:
        with plain_audio(path, kind) as plain:
            levels = np.concatenate([*_levels(_blocks(plain, kind)), np.zeros(0)])[:count]
    except (av.FFmpegError, ValueError):
        levels = np.zeros(0)
    active = np.zeros(count, np.bool_)
    if len(levels):
        loud = np.percentile(levels, _LOUD)
        levels = np.maximum(levels, loud - _SILENCE)
        quiet = np.percentile(levels, _QUIET)
        found = levels > quiet + _THRESHOLD * (loud - quiet)
        active[: len(found)] = np.convolve(found, np.ones(_AROUND), "full")[_AROUND // 2 :][: len(found)] >= _ENOUGH
    return active if active.any() else np.ones(count, np.bool_)


def _levels(blocks: Iterator[_Samples]) -> Iterator[NDArray[np.float64]]:
    """Return the levels in decibels of all moments, block by block."""
    bins = np.fft.rfftfreq(_WINDOW, 1 / _SAMPLE_RATE)
    weights = np.where(bins > _LOWEST, bins, 0.0) / 1000
    shape = np.hanning(_WINDOW).astype(np.float32)
    rest = np.zeros(_HOP, np.float32)
    for block in blocks:
        samples = np.concatenate([rest, block])
        if len(samples) >= _WINDOW:
            windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
            power = np.abs(np.fft.rfft(windows * shape)) ** 2
            yield 10 * np.log10(power @ weights + 1e-9)
            samples = samples[len(windows) * _HOP :]
        rest = samples


def _blocks(path: Path, kind: str) -> Iterator[_Samples]:
    """Decode the first audio stream to one channel, in blocks. Damaged packets are left out."""
    parts: list[_Samples] = []
    for part in mono_samples(path, kind, _SAMPLE_RATE):
        parts.append(part)
        if sum(map(len, parts)) >= _BLOCK_SECONDS * _SAMPLE_RATE:
            yield np.concatenate(parts)
            parts = []
    if parts:
        yield np.concatenate(parts)
