"""Fit a caption into a box: the largest size at which its lines have room."""

from __future__ import annotations

from pipelines.media.text.shaping import Shaper
from pipelines.media.text.wrapping import atoms, wrap

#: Distance between baselines, and what a line needs above and below its baseline, in ems: marks of Thai letters are
#: high, those of Arabic letters low.
LEADING = 1.28
ASCENT, DESCENT = 1.1, 0.5
#: The size of the next caption compared with the one that is sung.
NEXT_SIZE = 0.72
#: Most lines at full size before a smaller size is tried; the sizes to try, as shares of the full size; and the size
#: below which words that are wider than a line are broken.
_FULL_SIZE_LINES = 4
_SIZES = tuple(0.9**step for step in range(36))
_BREAK_WORDS_BELOW = 0.6


def height_of(lines: int, reach: float) -> float:
    """Return the height of ``lines`` lines in ems, with ``reach`` ems of outline or plate around them."""
    return LEADING * (lines - 1) + ASCENT + DESCENT + 2 * reach


def caption_height(lines: int, reach: float, *, next_line: bool) -> float:
    """Return the height of a caption of ``lines`` lines in ems, with one line of the next caption below it."""
    return height_of(lines, reach) + (NEXT_SIZE * height_of(1, reach) if next_line else 0.0)


def fit_text(
    text: str, shaper: Shaper, size: float, width: float, height: float, reach: float
) -> tuple[float, list[str]]:
    """Return the em size in pixels, at most ``size``, and the lines of similar width that fit into the box."""
    fitted, lines = size, [text]
    for scale in _SIZES:
        fitted = size * scale
        wrapped = wrap_text(text, shaper, width / fitted - 2 * reach, break_words=scale < _BREAK_WORDS_BELOW)
        lines = wrapped or lines
        fits = wrapped is not None and height_of(len(lines), reach) * fitted <= height
        if fits and (len(lines) <= _FULL_SIZE_LINES or scale < 1):
            break
    return fitted, lines


def wrap_text(text: str, shaper: Shaper, limit: float, *, break_words: bool) -> list[str] | None:
    """Return lines of at most ``limit`` ems. Only words that are wider than that may be broken."""

    def width(part: str) -> float:
        return shaper.shape(part).width

    def fits(part: str) -> bool:
        return width(part) <= limit

    return wrap(atoms(text, breaks=lambda word: break_words and not fits(word), fits=fits), width, limit)


def most_lines(texts: list[str], shaper: Shaper, limit: float) -> int:
    """Return how many lines of ``limit`` ems the longest of ``texts`` need at full size, from 1 to 4."""
    longest = sorted(texts, key=len)[-8:]
    needed = [len(wrap_text(text, shaper, limit, break_words=False) or "12") for text in longest]
    return min(max(needed, default=1), _FULL_SIZE_LINES)
