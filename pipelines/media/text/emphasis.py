"""Find the words and phrases of a caption that have a colour of their own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from pipelines.media.captions.word_groups import clean
from pipelines.media.text.phrases import WITHOUT_SPACES

_UNSPACED = re.compile(WITHOUT_SPACES)


def find_phrases(text: str, phrases: Sequence[str]) -> list[tuple[int, int]]:
    """Return where ``phrases`` are in ``text``: whole words, in capital or small letters.

    A part of a text that is written without spaces is found too.
    """
    parts = sorted(filter(None, map(clean, phrases)), key=len, reverse=True)
    if not parts:
        return []
    found = re.finditer("|".join(map(_pattern, parts)), text, re.IGNORECASE)
    return [
        match.span() for match in found if not _cuts_word(text, match.start()) and not _cuts_word(text, match.end())
    ]


def emphasis_warnings(phrases: Sequence[str], captions: Sequence[str]) -> list[str]:
    """Return a warning if some of ``phrases`` are in none of ``captions``."""
    absent = [phrase for phrase in phrases if not any(find_phrases(caption, [phrase]) for caption in captions)]
    return [f"emphasis: in no caption: {', '.join(absent)}"] if absent else []


def _pattern(phrase: str) -> str:
    return re.sub("['’]", "['’]", re.sub(r"(\\ )+", r"\\s+", re.escape(phrase)))


def _cuts_word(text: str, at: int) -> bool:
    """Return whether the characters before and after ``at`` belong to one word."""
    if not 0 < at < len(text) or not all(unicodedata.category(one)[0] in "LMN" for one in text[at - 1 : at + 1]):
        return False
    is_mark = unicodedata.category(text[at])[0] == "M"
    return is_mark or not (_UNSPACED.match(text[at - 1]) or _UNSPACED.match(text[at]))
