"""Where the words of a line begin and end: counted for the captions, and kept together when a caption is wrapped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

#: U+200B, which ends a word and is not drawn: Khmer, Lao, Myanmar and Thai texts mark their words with it.
ZERO_WIDTH_SPACE = "\u200b"
#: U+2060, which joins what is before and after it and is not drawn.
WORD_JOINER = "\u2060"
NO_BREAK_SPACE = "\u00a0"
#: Characters at which neither a word nor a line ends: the spaces that do not break, and the word joiner.
GLUE = f"{NO_BREAK_SPACE}\u2007\u202f{WORD_JOINER}"
#: Opening punctuation whose Unicode category (Po) does not say so.
_OPENING = frozenset("¿¡")
#: Marks that both begin and end something: ♪ la la ♪.
_PAIRED = frozenset('"*♪♫♬♩🎵🎶')
_TOKEN = re.compile(f"[^ {ZERO_WIDTH_SPACE}]+")
_GAP = re.compile(f"[ {ZERO_WIDTH_SPACE}{GLUE}]+")


def is_word(text: str) -> bool:
    """Return whether ``text`` contains a letter or a digit, also in a compatibility form such as Ⓐ."""
    return any(map(str.isalnum, text)) or any(map(str.isalnum, unicodedata.normalize("NFKC", text)))


def tokens(text: str) -> list[tuple[int, int]]:
    """Return the spans of ``text`` between spaces and zero-width spaces. No-break spaces do not separate."""
    return [token.span() for token in _TOKEN.finditer(text)]


def join_marks(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join the spans without a letter or a digit to a word: opening marks to the next one, others to the one before.

    So ``où ?``, ``« Oui »`` and ``you —`` are one word each. A line without any letter or digit is one span.
    """
    joined: list[tuple[int, int]] = []
    opened: int | None = None
    for start, end in spans:
        if is_word(text[start:end]):
            joined.append((start if opened is None else opened, end))
            opened = None
        elif opened is None and joined and not _opens(text, start, end):
            joined[-1] = (joined[-1][0], end)
        elif opened is None:
            opened = start
    if opened is not None:
        first = joined.pop()[0] if joined else opened
        joined.append((first, spans[-1][1]))
    return joined


def _opens(text: str, start: int, end: int) -> bool:
    return all(_is_opening(text, index) for index in range(start, end))


def _is_opening(text: str, index: int) -> bool:
    mark = text[index]
    if mark in _PAIRED:
        return text.count(mark, 0, index) % 2 == 0 and mark in text[index + 1 :]
    if mark == "“" and text.count("„", 0, index) > text.count("“", 0, index):
        return False
    return mark in _OPENING or unicodedata.category(mark) in ("Ps", "Pi")


def collapse_gaps(text: str) -> str:
    """Reduce each run of spaces, zero-width spaces and glue to one character, and remove those at both ends."""
    return _GAP.sub(lambda gap: _one_gap(gap[0]), text).strip(f" {ZERO_WIDTH_SPACE}{GLUE}")


def _one_gap(run: str) -> str:
    spaces = run.replace(WORD_JOINER, "").replace(ZERO_WIDTH_SPACE, "")
    if ZERO_WIDTH_SPACE in run:
        return " " if spaces else ZERO_WIDTH_SPACE
    if not spaces:
        return WORD_JOINER
    if " " in spaces:
        return NO_BREAK_SPACE if WORD_JOINER in run else " "
    return spaces[0]


def glued(text: str) -> str:
    """Return ``text`` with spaces at which no line breaks."""
    return text.replace(" ", NO_BREAK_SPACE).replace(ZERO_WIDTH_SPACE, WORD_JOINER)
