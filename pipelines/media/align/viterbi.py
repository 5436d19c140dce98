"""Forced alignment: the most likely frames of a known sequence of tokens, given a CTC model's log-probabilities.

The recursion is that of Graves et al., "Connectionist Temporal Classification" (2006), with the best path instead of
the sum. Its memory grows with the square root of the number of frames: scores are kept at checkpoints, and the choices
between two checkpoints are computed again on the way back (Hirschberg, 1975).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: A token that fits any sound at no cost, for what the text does not contain.
STAR = -1
_IMPOSSIBLE = np.float32(-1e9)

_Floats = NDArray[np.float32]
#: The scores of "in the gap before token i" (one more than tokens) and "in token i", a row for each sequence.
_Scores = tuple[_Floats, _Floats]


@dataclass(frozen=True, slots=True)
class Emissions:
    """What an acoustic model recognised: log-probabilities of its tokens in each frame."""

    #: Shape (frames, tokens + 1); the last column is 0, for ``STAR``.
    tokens: _Floats
    #: Log-probability of "no token", shape (frames,).
    gap: _Floats

    def __len__(self) -> int:
        return len(self.gap)

    def part(self, first: int, end: int) -> Emissions:
        """Return the frames from ``first`` to ``end``."""
        return Emissions(self.tokens[first:end], self.gap[first:end])


@dataclass(frozen=True, slots=True)
class Path:
    """The first and the last frame of each token, and the log-probability of the whole path."""

    first: NDArray[np.intp]
    last: NDArray[np.intp]
    score: float


def align_tokens(emissions: Emissions, tokens: Sequence[int]) -> Path:
    """Return the best path through all of ``tokens``, in order.

    Args:
        emissions: The model's output.
        tokens: Columns of the emissions, or ``STAR``.

    Raises:
        ValueError: There are no tokens, or more than frames.
    """
    lattice = _Lattice(emissions, np.array([tokens], np.intp))
    frames, block = len(emissions), max(1, math.isqrt(len(emissions)))
    checkpoints = lattice.forward(block)
    gaps, inside = checkpoints[-1]
    # Odd states are tokens, even ones the gaps before them.
    state = 2 * len(tokens) - (0 if gaps[0, -1] >= inside[0, -1] else 1)
    score = float(max(gaps[0, -1], inside[0, -1]))
    first, last = np.zeros(len(tokens), np.intp), np.full(len(tokens), -1, np.intp)
    for number in range(len(checkpoints) - 2, -1, -1):
        start = number * block
        choices = lattice.choices(checkpoints[number], start, min(start + block, frames))
        for frame in range(start + len(choices) - 1, start - 1, -1):
            if state % 2:
                token = state // 2
                if last[token] < 0:
                    last[token] = frame
                first[token] = frame
            state -= int(choices[frame - start, state])
    return Path(first, last, score)


def path_scores(emissions: Emissions, sequences: Sequence[Sequence[int]]) -> _Floats:
    """Return the log-probability of the best path of each sequence; all have the same length.

    Raises:
        ValueError: There are no tokens, or more than frames.
    """
    gaps, inside = _Lattice(emissions, np.array(sequences, np.intp)).forward(len(emissions))[-1]
    return np.maximum(gaps[:, -1], inside[:, -1])


class _Lattice:
    """The states of a sequence: gap, token, gap, token, …, gap."""

    def __init__(self, emissions: Emissions, tokens: NDArray[np.intp]) -> None:
        if not 0 < tokens.shape[1] <= len(emissions):
            raise ValueError(f"{tokens.shape[1]} tokens cannot be aligned with {len(emissions)} frames")
        self._emissions, self._tokens = emissions, tokens
        # Two equal tokens must have a gap between them.
        self._repeats = np.where(tokens[:, 1:] == tokens[:, :-1], _IMPOSSIBLE, np.float32(0))

    def forward(self, block: int) -> list[_Scores]:
        """Return the scores before every ``block``-th frame, and after the last one."""
        rows, count = self._tokens.shape
        gaps, inside = np.full((rows, count + 1), _IMPOSSIBLE), np.full((rows, count), _IMPOSSIBLE)
        gaps[:, 0] = 0  # before the first frame, only the first gap is possible
        kept: list[_Scores] = []
        for frame in range(len(self._emissions)):
            if frame % block == 0:
                kept.append((gaps, inside))
            gaps, inside = self._next(gaps, inside, frame)
        return [*kept, (gaps, inside)]

    def choices(self, scores: _Scores, start: int, end: int) -> NDArray[np.int8]:
        """Return by how many states the best path advanced into each state in the frames ``start`` to ``end``."""
        gaps, inside = scores
        made = np.zeros((end - start, 2 * self._tokens.shape[1] + 1), np.int8)
        for frame in range(start, end):
            row = made[frame - start]
            row[2::2] = inside[0] > gaps[0, 1:]
            row[1::2] = gaps[0, :-1] > inside[0]
            skipped = inside[0, :-1] + self._repeats[0] > np.maximum(inside[0, 1:], gaps[0, 1:-1])
            row[3::2][skipped] = 2
            gaps, inside = self._next(gaps, inside, frame)
        return made

    def _next(self, gaps: _Floats, inside: _Floats, frame: int) -> _Scores:
        next_gaps, next_inside = gaps.copy(), np.maximum(inside, gaps[:, :-1])
        np.maximum(next_gaps[:, 1:], inside, out=next_gaps[:, 1:])
        np.maximum(next_inside[:, 1:], inside[:, :-1] + self._repeats, out=next_inside[:, 1:])
        next_gaps += self._emissions.gap[frame]
        next_inside += self._emissions.tokens[frame][self._tokens]
        return next_gaps, next_inside
