"""Lyrics cut into groups of words; one group is one caption."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

#: Characters of Thai, Lao, Khmer and Myanmar that a word of unknown bounds may hold.
_UNSPACED_LENGTH = 6
_HAN = r"\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = r"\u3041-\u309f\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f"
# A Japanese phrase: kanji with the hiragana behind them; a Chinese one: two characters; katakana stay together.
_CJK_PIECE = re.compile(
    rf"[{_HAN}]{{1,3}}[\u3041-\u309f]{{1,3}}|[{_HAN}]{{1,2}}|[\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f]{{1,8}}"
    rf"|[\u3041-\u309f]{{1,4}}|[^{_HAN}{_KANA}]+"
)
_CJK = re.compile(rf"[{_HAN}{_KANA}]")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
#: Vowels written before the consonant that they are spoken after: a piece may begin here.
_LEADING_VOWELS = frozenset("เแโใไເແໂໃໄ")


@dataclass(frozen=True, slots=True)
class Group:
    """Some words of one lyric line, shown together."""

    text: str
    #: Position of the first word among all words of the lyrics, and how many they are.
    first: int
    count: int


def group_words(lyrics: str, words_per_group: int) -> list[Group]:
    """Return the groups of ``lyrics`` in order, at most ``words_per_group`` words each, none across a line's end.

    A word is what spaces delimit. Text in scripts that write no spaces is cut into phrases of a few
    characters, each counted as a word. Headings such as ``[Chorus]`` are words like others.
    """
    groups = []
    first = 0
    for line, spans in _lines(lyrics):
        for index in range(0, len(spans), words_per_group):
            members = spans[index : index + words_per_group]
            groups.append(Group(line[members[0][0] : members[-1][1]], first, len(members)))
            first += len(members)
    return groups


def words_of(lyrics: str) -> list[str]:
    """Return every word of ``lyrics`` in order: what ``Group.first`` and ``Group.count`` count."""
    return [line[start:end] for line, spans in _lines(lyrics) for start, end in spans]


def _lines(lyrics: str) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    for line in map(clean, lyrics.split("\n")):
        yield line, [span for word in re.finditer(r"\S+", line) for span in _pieces(word[0], word.start())]


def clean(text: str) -> str:
    """Return ``text`` in NFC on one line, without control characters and explicit direction overrides.

    Joiners (U+200C, U+200D), variation selectors and the emoji tags stay: letters and emoji need them. So do
    characters that Python does not know: its tables are older than some emoji.
    """
    kept = []
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        if category in ("Zs", "Zl", "Zp") or character in "\t\n\r\v\f":
            kept.append(" ")
        elif category == "Cf" and not (
            character in "\u200c\u200d\u200e\u200f" or "\U000e0020" <= character <= "\U000e007f"
        ):
            continue
        elif category not in ("Cc", "Cs", "Co") and not _is_noncharacter(ord(character)):
            kept.append(character)
    return re.sub(r" +", " ", "".join(kept)).strip()


def _is_noncharacter(code: int) -> bool:
    """Return whether the code point is a noncharacter (Unicode section 23.7), which no text contains."""
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def _pieces(word: str, offset: int) -> list[tuple[int, int]]:
    """Return the spans of what counts as words inside ``word``, which begins at ``offset`` of its line."""
    if _CJK.search(word):
        spans = [match.span() for match in _CJK_PIECE.finditer(word)]
    elif _UNSPACED.search(word) and len(word) > _UNSPACED_LENGTH:
        spans = _cut_unspaced(word)
    else:
        spans = [(0, len(word))]
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        # Punctuation alone is no word: it stays with the one before it.
        if joined and all(unicodedata.category(character)[0] in "PM" for character in word[start:end]):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [(offset + start, offset + end) for start, end in joined]


def _cut_unspaced(word: str) -> list[tuple[int, int]]:
    spans = []
    start = 0
    for index in range(1, len(word)):
        length = index - start
        mark = unicodedata.category(word[index])[0] == "M" or word[index] in "ะาำๅຳາະ"
        if (length >= 3 and word[index] in _LEADING_VOWELS) or (
            length >= _UNSPACED_LENGTH and not mark and word[index - 1] not in _LEADING_VOWELS
        ):
            spans.append((start, index))
            start = index
    spans.append((start, len(word)))
    return spans
