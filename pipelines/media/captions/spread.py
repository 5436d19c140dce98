"""Lyrics spread over a recording without an aligner: by where it may have a voice, and by the length of the words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.media.captions.matching import Times
from pipelines.media.captions.word_groups import words_by_line
from pipelines.media.inspect.voice import RATE, voice_activity

#: What a word weighs besides its letters: it is not spoken in no time.
_WORD_WEIGHT = 1.5
#: The smallest step of a line's time in seconds, and the most steps of a recording.
_STEP_SECONDS, _MOST_STEPS = 0.1, 36_000
#: The lengths of the pause before the start of a line, and of the voice after it, that are measured, in seconds.
_PAUSE_SECONDS, _VOICE_SECONDS = 0.6, 0.4
#: A line may take this many times what its share of the voice is, and its start this many seconds of voice off it.
_LONGEST, _REACH_SECONDS = 3.0, 60.0
#: The most lines times steps: more would need too much memory, and each line gets its share of the voice.
_MOST_CELLS = 40_000_000
#: The cost of a line with more or less voice than its share, or that is longer or shorter (squared logarithms); of a
#: second of voice outside of all lines, within a stanza and between two; and of a start that is a tenth of the whole
#: away from its share (squared). Then what a start is worth that follows a pause.
_VOICE_COST, _LENGTH_COST = 12.0, 6.0
_UNUSED_COST, _UNUSED_COST_BETWEEN_STANZAS = 0.5, 0.1
_PLACE_COST = 1.0
_PAUSE_WORTH = 2.0

_Costs = NDArray[np.float64]
_Indices = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Line:
    """The weights of the words of a line, and whether a stanza ends with it."""

    weights: NDArray[np.float64]
    ends_stanza: bool

    @property
    def weight(self) -> float:
        """The weight of the line."""
        return float(self.weights.sum())


def spread_lyrics(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the times of all words of the lyrics. Runs in the child process."""
    active = voice_activity(Path(arguments["audio"]), arguments["audio_kind"], arguments["seconds"])
    return {"times": [[time.start, time.end] for time in spread(arguments["lyrics"], active)]}


def spread(lyrics: str, active: NDArray[np.bool_]) -> list[Times]:
    """Return the times of all words of ``lyrics`` in a recording with a voice at the moments that are ``active``."""
    lines = _lines(lyrics)
    if not lines:
        return []
    share = np.cumsum([0.0, *(line.weight for line in lines)])
    places = _places(lines, active) or _by_share(share / share[-1], active)
    return [
        time
        for line, (start, end) in zip(lines, places, strict=True)
        for time in _words(line.weights, active[start:end], start)
    ]


def _lines(lyrics: str) -> list[_Line]:
    found: list[_Line] = []
    for words in words_by_line(lyrics):
        if words:
            weights = np.array([sum(map(str.isalnum, word)) + _WORD_WEIGHT for word in words])
            found.append(_Line(weights, ends_stanza=False))
        elif found:
            found[-1] = _Line(found[-1].weights, ends_stanza=True)
    return found


def _words(weights: NDArray[np.float64], active: NDArray[np.bool_], first: int) -> list[Times]:
    """Return the times of the words of a line: each has its share of the moments that are active."""
    voice = np.concatenate([[0.0], np.cumsum(active if active.any() else np.ones(len(active)))])
    shares = np.concatenate([[0.0], np.cumsum(weights)]) / weights.sum() * voice[-1]
    starts = np.searchsorted(voice, shares[:-1], side="right") - 1
    ends = np.searchsorted(voice, shares[1:] - 1e-9, side="left")
    return [
        Times(float(first + start) / RATE, float(first + max(end, start + 1)) / RATE)
        for start, end in zip(starts, ends, strict=True)
    ]


def _by_share(share: NDArray[np.float64], active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first moment and the end of each line if each has its share of the active moments."""
    voice = np.concatenate([[0], np.cumsum(active)])
    bounds = np.searchsorted(voice, share * voice[-1], side="left")
    return [(int(start), max(int(end), int(start) + 1)) for start, end in pairwise(bounds)]


class _Steps:
    """A recording in steps: the seconds of voice up to each, and how well a line may start there."""

    def __init__(self, active: NDArray[np.bool_]) -> None:
        self.moments = max(round(_STEP_SECONDS * RATE), -(-len(active) // _MOST_STEPS))
        self.seconds = self.moments / RATE
        self.count = len(active) // self.moments
        share = active[: self.count * self.moments].reshape(self.count, self.moments).mean(1)
        self.voice = np.concatenate([[0.0], np.cumsum(share)]) * self.seconds
        before = max(1, round(_PAUSE_SECONDS / self.seconds))
        after = max(1, round(_VOICE_SECONDS / self.seconds))
        at = np.arange(self.count + 1)
        silent = (self.voice - self.voice[np.maximum(at - before, 0)]) / (before * self.seconds)
        loud = (self.voice[np.minimum(at + after, self.count)] - self.voice) / (after * self.seconds)
        self.pauses = np.clip(loud - silent, 0.0, 1.0)


def _places(lines: Sequence[_Line], active: NDArray[np.bool_]) -> list[tuple[int, int]] | None:
    """Return the first moment and the end of each line by the cheapest path; ``None`` if there is none.

    ``best`` is the least cost of everything up to each step, if the next line does not start before it.
    """
    steps = _Steps(active)
    weights = np.array([line.weight for line in lines])
    shares = np.concatenate([[0.0], np.cumsum(weights)]) / weights.sum()
    voice = float(steps.voice[-1])
    if not voice or len(lines) * steps.count > _MOST_CELLS:
        return None
    best = _UNUSED_COST_BETWEEN_STANZAS * steps.voice
    path: list[tuple[_Indices, _Indices]] = []
    for line, share, weight in zip(lines, shares[:-1], np.diff(shares), strict=True):
        distance = (steps.voice / voice - share) * 10
        start = best - _PAUSE_WORTH * steps.pauses + _PLACE_COST * distance**2
        cost, starts = _ends(steps, start, share * voice, weight * voice)
        unused = _UNUSED_COST_BETWEEN_STANZAS if line.ends_stanza or line is lines[-1] else _UNUSED_COST
        cost -= unused * steps.voice
        cheapest = np.minimum.accumulate(cost)
        ends = np.maximum.accumulate(np.where(cost <= cheapest, np.arange(len(cost)), 0))
        best = cheapest + unused * steps.voice
        path.append((starts, ends.astype(np.int32)))
    return _traced(path, steps) if np.isfinite(best[-1]) else None


def _ends(steps: _Steps, start: _Costs, place: float, share: float) -> tuple[_Costs, _Indices]:
    """Return the cost of a line that ends at each step, and the step at which it then starts.

    ``place`` and ``share`` are the line's seconds of voice: those before it, and its own.
    """
    low, high = np.searchsorted(steps.voice, [place - _REACH_SECONDS, place + _REACH_SECONDS])
    cost = np.full(steps.count + 1, np.inf)
    starts = np.zeros(steps.count + 1, np.int32)
    for length in range(1, min(steps.count, max(3, int(_LONGEST * share / steps.seconds))) + 1):
        begin = slice(low, min(high + 1, steps.count + 1 - length))
        end = slice(begin.start + length, begin.stop + length)
        used = np.maximum(steps.voice[end] - steps.voice[begin], steps.seconds / 2)
        total = start[begin] + _VOICE_COST * np.log(used / share) ** 2
        total += _LENGTH_COST * np.log(length * steps.seconds / share) ** 2
        better = total < cost[end]
        cost[end][better] = total[better]
        starts[end][better] = np.arange(begin.start, begin.stop)[better]
    return cost, starts


def _traced(path: Sequence[tuple[_Indices, _Indices]], steps: _Steps) -> list[tuple[int, int]]:
    places = []
    step = steps.count
    for starts, ends in reversed(path):
        end = int(ends[step])
        step = int(starts[end])
        places.append((step * steps.moments, end * steps.moments))
    return places[::-1]
