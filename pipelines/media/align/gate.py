"""Whether lyrics fit a recording, as a whole and line by line.

A path exists for any text, and its own probability says little: languages and recordings differ. What the same text
scores in another order says how good chance would be in this recording. The margin of the right order over the others
is measured in nats per token. The limits were chosen on constructed speech and four songs; docs/benchmarks.md has the
figures.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from typing import TypeVar

from pipelines.media.align.viterbi import STAR, Emissions, Path, path_scores

_T = TypeVar("_T")
#: The tokens of each word of each line.
Tokens = Sequence[Sequence[Sequence[int]]]

#: The least margin of the words in order over the words in another order. Texts that are not in the sound scored up to
#: 0.16, songs that align 0.5 and more, speech 0.6 and more.
FITS = 0.25
#: The least margin of a line: this, and this share of the median of all lines.
_SURE, _SURE_SHARE = 0.4, 0.4
#: The same for a line between two sure ones, as a share of the above.
_SURE_BETWEEN = 0.4
#: How many other orders are tried: for a short text many, because chance does more there, for a long one one.
MOST_ORDERS = 48
_ORDER_CELLS, _LINE_ORDERS = 500_000_000, 8
#: Frames before and after a line in which its sounds are looked for.
_AROUND = 25


def text_margin(emissions: Emissions, lines: Tokens, most_orders: int = MOST_ORDERS) -> float:
    """Return the margin of the whole text; 0.0 if it has fewer than two words.

    Raises:
        ValueError: The text has more tokens than the recording has frames.
    """
    words = [word for line in lines for word in line]
    count = sum(map(len, words))
    if len(words) < 2 or not count:
        return 0.0
    orders = max(1, min(most_orders, _ORDER_CELLS // (count * len(emissions))))
    others = [_in_lines(_shuffled(words, seed), lines) for seed in range(orders)]
    scores = path_scores(emissions, [sequence(lines), *map(sequence, others)])
    return float(scores[0] - scores[1:].max()) / count


def line_margin(emissions: Emissions, path: Path, tokens: Sequence[int], first: int, end: int) -> float:
    """Return the margin of the tokens from ``first`` to ``end`` over other orders of them, at their place."""
    line = list(tokens[first:end])
    count = sum(token != STAR for token in line)
    start = max(0, int(path.first[first]) - _AROUND)
    window = emissions.part(start, int(path.last[end - 1]) + 1 + _AROUND)
    if count < 2 or len(window) < len(line) + 2:
        return 0.0
    others = [_shuffled(line, seed) for seed in range(_LINE_ORDERS)]
    scores = path_scores(window, [[STAR, *order, STAR] for order in (line, *others)])
    return float(scores[0] - scores[1:].mean()) / count


def sure_lines(margins: Sequence[float]) -> list[bool]:
    """Return which lines are sure: those of a clear margin, and those of some margin between two of them."""
    least = max(_SURE, _SURE_SHARE * statistics.median(margins))
    clear = [margin >= least for margin in margins]
    held = [False, *(before and after for before, after in zip(clear, clear[2:], strict=False)), False]
    return [
        good or (between and margin >= _SURE_BETWEEN * least)
        for good, margin, between in zip(clear, margins, held, strict=False)
    ]


def sequence(lines: Tokens) -> list[int]:
    """Return the tokens of all lines, with a star before the first line, after each, and for a word without tokens."""
    tokens = [STAR]
    for line in lines:
        for word in line:
            tokens.extend(word or [STAR])
        tokens.append(STAR)
    return tokens


def _shuffled(items: Sequence[_T], seed: int) -> list[_T]:
    return random.Random(seed).sample(items, len(items))  # noqa: S311 - the same orders in every run


def _in_lines(words: Sequence[Sequence[int]], lines: Tokens) -> list[Sequence[Sequence[int]]]:
    """Return ``words`` in lines of as many words as ``lines`` have."""
    rest = iter(words)
    return [[next(rest) for _ in line] for line in lines]
