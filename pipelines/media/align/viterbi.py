"""Forced alignment: the most likely frames of a known sequence of tokens, given a CTC model's log-probabilities.

The recursion is that of Graves et al., "Connectionist Temporal Classification" (2006), with the best path instead of the
sum. Its memory grows with the square root of the number of frames: states are kept at checkpoints, and the choices between
two checkpoints are computed again on the way back (Hirschberg, 1975).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: A token that fits any sound at no cost, for what the text does not contain.
STAR = -1
_IMPOSSIBLE = np.float32(-1e9)


@dataclass(frozen=True, slots=True)
class Alignment:
    """The first and the last frame of each token, and the log-probability of the whole path."""

    first: NDArray[np.intp]
    last: NDArray[np.intp]
    score: float


def align_tokens(emissions: NDArray[np.float32], gap: NDArray[np.float32], tokens: list[int]) -> Alignment:
    """Return the frames of each token on the best path through all of them, in order.

    Args:
        emissions: Log-probabilities, shape (frames, tokens of the model).
        gap: Log-probability of "no token" in each frame, shape (frames,).
        tokens: Indexes into the second axis of ``emissions``, or ``STAR``.

    Raises:
        ValueError: There are more tokens than frames.
    """
    frames, count = len(emissions), len(tokens)
    if count > frames:
        raise ValueError(f"{count} tokens cannot be aligned with {frames} frames")
    lattice = _Lattice(emissions, gap, tokens)
    block = max(1, math.isqrt(frames))
    checkpoints = lattice.forward(block)
    final = checkpoints[-1]
    state = len(final) - 1 if count == 0 or final[-1] >= final[-2] else len(final) - 2
    score = float(final[state])
    first, last = np.zeros(count, np.intp), np.full(count, -1, np.intp)
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
    return Alignment(first, last, score)


class _Lattice:
    """The states of a sequence: gap, token, gap, token, …, gap."""

    def __init__(self, emissions: NDArray[np.float32], gap: NDArray[np.float32], tokens: list[int]) -> None:
        ids = np.array(tokens, np.intp)
        self._emissions, self._gap = emissions, gap
        self._stars, self._ids = ids < 0, np.maximum(ids, 0)
        self._states = 2 * len(tokens) + 1
        # Two equal tokens must have a gap between them.
        self._direct = np.zeros(self._states, bool)
        self._direct[3::2] = ids[1:] != ids[:-1]

    def forward(self, block: int) -> list[NDArray[np.float32]]:
        """Return the scores of all states before every ``block``-th frame, and after the last one."""
        kept = []
        scores = np.full(self._states, _IMPOSSIBLE, np.float32)
        scores[0] = 0  # before the first frame, only the first gap is possible
        for frame in range(len(self._gap)):
            if frame % block == 0:
                kept.append(scores)
            scores = self._next(scores, frame)[0]
        return [*kept, scores]

    def choices(self, scores: NDArray[np.float32], start: int, end: int) -> NDArray[np.int8]:
        """Return by how many states the best path advanced into each state in the frames ``start`` to ``end``."""
        made = np.empty((end - start, self._states), np.int8)
        for frame in range(start, end):
            scores, made[frame - start] = self._next(scores, frame)
        return made

    def _next(self, scores: NDArray[np.float32], frame: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
        best, chosen = scores.copy(), np.zeros(self._states, np.int8)
        better = scores[:-1] > best[1:]
        np.copyto(best[1:], scores[:-1], where=better)
        chosen[1:] = better
        better = (scores[:-2] > best[2:]) & self._direct[2:]
        np.copyto(best[2:], scores[:-2], where=better)
        np.copyto(chosen[2:], np.int8(2), where=better)
        best[0::2] += self._gap[frame]
        best[1::2] += np.where(self._stars, np.float32(0), self._emissions[frame, self._ids])
        return best, chosen
