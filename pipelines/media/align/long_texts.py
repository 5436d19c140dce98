"""Long recordings: cut into parts at line ends that a coarse alignment finds, so that the work grows with the length.

The best path through a whole recording takes frames times tokens; both grow with the length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.media.align import gate
from pipelines.media.align.viterbi import STAR, Emissions, Path, align_tokens

#: The most frames times tokens that are aligned at once, about 20 s of computing.
AT_ONCE = 1_500_000_000
#: The coarse alignment joins this many frames, and uses one of this many tokens.
_FRAMES, _TOKENS = 4, 3


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive lines, and the frames in which they are."""

    lines: gate.Tokens
    first: int
    end: int


def parts_of(emissions: Emissions, lines: gate.Tokens, at_once: int = AT_ONCE) -> list[Part]:
    """Return the parts in which the lines are aligned: one, unless text and recording are long."""
    frames, count = len(emissions), len(gate.sequence(lines))
    # Parts shorter in both frames and tokens: n of them take an nth of the work.
    wanted = min(-(-frames * count // at_once), len(lines))
    if wanted < 2:
        return [Part(lines, 0, frames)]
    ends = _coarse_ends(emissions, lines)
    cuts, parts, done = np.linspace(0, frames, wanted + 1)[1:-1], [], 0
    before = 0
    for line in sorted({int(np.searchsorted(ends, cut)) + 1 for cut in cuts}):
        if done < line < len(lines):
            parts.append(Part(lines[done:line], before, ends[line - 1]))
            done, before = line, ends[line - 1]
    return [*parts, Part(lines[done:], before, frames)]


def align_parts(emissions: Emissions, parts: list[Part]) -> Path:
    """Return the best path through ``gate.sequence`` of all lines.

    Raises:
        ValueError: A part has more tokens than frames.
    """
    first, last, score = [], [], 0.0
    for number, part in enumerate(parts):
        path = align_tokens(emissions.part(part.first, part.end), gate.sequence(part.lines))
        own = slice(1 if number else 0, None)  # the star before a part is the one after the part before it
        first.append(path.first[own] + part.first)
        last.append(path.last[own] + part.first)
        score += path.score
    return Path(np.concatenate(first), np.concatenate(last), score)


def margin_of(emissions: Emissions, parts: list[Part]) -> float:
    """Return the margin of the text: the mean of its parts, by their tokens."""
    margins = [gate.text_margin(emissions.part(part.first, part.end), part.lines) for part in parts]
    return float(np.average(margins, weights=[len(gate.sequence(part.lines)) for part in parts]))


def fit(parts: list[Part]) -> bool:
    """Return whether every part has fewer tokens than frames."""
    return all(len(gate.sequence(part.lines)) < part.end - part.first for part in parts)


def _coarse_ends(emissions: Emissions, lines: gate.Tokens) -> list[int]:
    """Return the frame, about, at which each line ends."""
    whole = len(emissions) // _FRAMES * _FRAMES
    joined = emissions.tokens[:whole].reshape(-1, _FRAMES, emissions.tokens.shape[1]).max(1)
    thin: list[int] = [STAR]
    stars = []
    for line in lines:
        thin.extend([token for word in line for token in word][::_TOKENS])
        stars.append(len(thin))
        thin.append(STAR)
    # The sounds of the tokens that are left out are no reason against a gap.
    path = align_tokens(Emissions(joined, np.zeros(len(joined), np.float32)), thin)
    return [
        int(path.last[star - 1] + 1 + path.first[star + 1 if star + 1 < len(thin) else star]) // 2 * _FRAMES
        for star in stars
    ]
