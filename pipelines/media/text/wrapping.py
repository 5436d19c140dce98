"""Break a caption that is wider than the picture into lines of similar width."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipelines.media.text.fonts import EMOJI
from pipelines.media.text.phrases import CJK, NOT_FIRST, NOT_LAST, model_for, phrases
from pipelines.media.text.tokens import GLUE, ZERO_WIDTH_SPACE, glued, is_word, join_marks, tokens

#: Characters that belong to the one before them.
_ATTACHED = frozenset(f"\u200c\u200d{ZERO_WIDTH_SPACE}{GLUE}")
_BETWEEN_SPACES = re.compile(rf"[^\s{ZERO_WIDTH_SPACE}]+")
_WIDE_RANGES = ((0x2E80, 0x9FFF), (0xAC00, 0xD7AF), (0xF900, 0xFAFF), (0xFF00, 0xFFEF), (0x20000, 0x3FFFF))


@dataclass(frozen=True, slots=True)
class Atom:
    """A part of the text that is not broken, and whether a space precedes it."""

    text: str
    spaced: bool


def atoms(
    text: str, *, breaks: Callable[[str], bool] = lambda word: False, fits: Callable[[str], bool] = lambda phrase: False
) -> list[Atom]:
    """Cut ``text`` where a line may break: at spaces, at zero-width spaces, and where scripts without spaces may.

    Marks without a letter or a digit stay with their word. Words for which ``breaks`` returns true are cut between
    their letters. Scripts without spaces are cut between phrases. Chinese and Japanese phrases for which ``fits``
    returns false are cut between their letters.
    """
    found: list[Atom] = []
    model = model_for(text)
    for start, end in _words(text, breaks):
        # The zero-width space has no width, and keeps the letters around it apart.
        word = glued(text[start:end]) + (ZERO_WIDTH_SPACE if text[end : end + 1] == ZERO_WIDTH_SPACE else "")
        spaced = bool(found) and text[start - 1].isspace()
        for phrase in _phrases(word, model, marked=ZERO_WIDTH_SPACE in text):
            parts = [phrase] if CJK.search(phrase) and fits(phrase) else _parts(phrase, breaks(phrase))
            found += [Atom(part, spaced and index == 0) for index, part in enumerate(parts)]
            spaced = False
    return found


def _phrases(word: str, model: str | None, *, marked: bool) -> list[str]:
    """Return the phrases of ``word``. Glue joins those around it, with the spaces that wrapping has replaced."""
    joined: list[str] = []
    for start, end in phrases(word, model, marked=marked):
        if joined and (word[start] in _ATTACHED or word[start - 1] in GLUE):
            joined[-1] += word[start:end]
        else:
            joined.append(word[start:end])
    return joined


def _words(text: str, breaks: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """Return the spans of the words with their marks; cut at every space where a letter would be cut otherwise."""
    for start, end in join_marks(text, tokens(text)):
        if is_word(text[start:end]) and not breaks(glued(text[start:end])):
            yield start, end
        else:
            yield from (
                (start + part.start(), start + part.end()) for part in _BETWEEN_SPACES.finditer(text[start:end])
            )


def _parts(word: str, anywhere: bool) -> list[str]:
    parts: list[str] = []
    for cluster in clusters(word):
        before = parts[-1][-1] if parts else ""
        wide = _is_wide(cluster[0]) or (bool(before) and _is_wide(before))
        joined = not parts or cluster[0] in NOT_FIRST or before in NOT_LAST
        if not joined and (anywhere or wide):
            parts.append(cluster)
        elif parts:
            parts[-1] += cluster
        else:
            parts.append(cluster)
    return parts


def clusters(text: str) -> list[str]:
    """Cut ``text`` into user-perceived characters: letters with their marks and joiners, and whole emoji.

    Characters with a no-break space or a word joiner between them are one.
    """
    found: list[str] = []
    position = 0
    while position < len(text):
        emoji = EMOJI.match(text, position)
        end = emoji.end() if emoji else position + 1
        piece = text[position:end]
        linked = found and (
            unicodedata.category(piece[0])[0] == "M" or piece[0] in _ATTACHED or _is_linker(found[-1][-1])
        )
        if linked:
            found[-1] += piece
        else:
            found.append(piece)
        position = end
    return found


def _is_linker(character: str) -> bool:
    """Return whether the next letter belongs to this one: ZWJ, glue, or a virama (combining class 9) of a conjunct."""
    return character == "\u200d" or character in GLUE or unicodedata.combining(character) == 9


def _is_wide(character: str) -> bool:
    code = ord(character)
    return any(first <= code <= last for first, last in _WIDE_RANGES)


def wrap(parts: Sequence[Atom], width: Callable[[str], float], limit: float) -> list[str] | None:
    """Break ``parts`` into the fewest lines that are not wider than ``limit``, and as similar in width as possible.

    ``width`` returns the width of a text in the unit of ``limit``. Return ``None`` if a single part is wider.
    """
    widths = [width(part.text) for part in parts]
    if not parts or max(widths) > limit:
        return None
    space = width(" ")
    lines = _fill(parts, widths, space, limit)
    # Binary search for the narrowest limit that gives the same number of lines: their widths are then similar.
    low, high = max(widths), limit
    for _ in range(12):
        middle = (low + high) / 2
        candidate = _fill(parts, widths, space, middle)
        if len(candidate) > len(lines):
            low = middle
        else:
            high, lines = middle, candidate
    return lines


def _fill(parts: Sequence[Atom], widths: Sequence[float], space: float, limit: float) -> list[str]:
    lines: list[str] = []
    used = 0.0
    for part, width in zip(parts, widths, strict=True):
        gap = space if part.spaced else 0.0
        if lines and used + gap + width <= limit:
            lines[-1] += (" " if part.spaced else "") + part.text
            used += gap + width
        else:
            lines.append(part.text)
            used = width
    return lines
