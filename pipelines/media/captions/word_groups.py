"""Lyrics cut into groups of words; one group is one caption."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.media.text.tokens import GLUE, WORD_JOINER, ZERO_WIDTH_SPACE, collapse_gaps, join_marks, tokens

#: Longest piece in characters that Thai, Lao, Khmer and Myanmar text is cut into: its word boundaries are unknown.
_UNSPACED_LENGTH = 6
#: The same where zero-width spaces mark the words: longer than any word, shorter than a line with one stray mark.
_MARKED_LENGTH = 30
_HAN = r"\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = r"\u3041-\u309f\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_OPENING = r"「『（【《〈〔［｛“‘«‹(\[{¿¡"
# A Japanese piece is kanji with the hiragana after them, a Chinese piece two characters; katakana stay together.
_CJK_PIECE = re.compile(
    rf"[{_HAN}]{{1,3}}[\u3041-\u309f]{{1,3}}|[{_HAN}]{{1,2}}|[\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f]{{1,8}}"
    rf"|[\u3041-\u309f]{{1,4}}|[{_OPENING}]+|[^{_HAN}{_KANA}{_OPENING}]+"
)
_BYTE_ORDER_MARK = re.compile("\ufeff+")
_CJK = re.compile(rf"[{_HAN}{_KANA}]")
_SOUTH_EAST_ASIAN = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_UNSPACED = re.compile(rf"[{_SOUTH_EAST_ASIAN}]")
_WITHOUT_SPACES = rf"[{_HAN}{_KANA}{_SOUTH_EAST_ASIAN}]"
#: A word joiner between letters that are not cut anyway.
_NEEDLESS_JOINER = re.compile(f"(?<!{_WITHOUT_SPACES}){WORD_JOINER}(?!{_WITHOUT_SPACES})")
#: Vowels written before the consonant that they follow in speech: a piece may begin with one.
_LEADING_VOWELS = frozenset("เแโใไເແໂໃໄ")


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive words of one line of the lyrics, shown as one caption."""

    text: str
    #: Index of the first word among all words of the lyrics, and the number of words.
    first: int
    count: int


def group_words(lyrics: str, words_per_group: int) -> list[Group]:
    """Return the groups of ``lyrics`` in order, with at most ``words_per_group`` words of one line each.

    Words are separated by spaces and zero-width spaces; punctuation, symbols and emoji between them belong to a word
    next to them. Text in scripts that write no spaces is cut into pieces of a few characters, each of which counts as a
    word. Headings such as ``[Chorus]`` are words like others.
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
    """Return every word of ``lyrics`` in order. ``Group.first`` is an index into this list."""
    return [line[start:end] for line, spans in _lines(lyrics) for start, end in spans]


def _lines(lyrics: str) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    for line in map(clean, lyrics.split("\n")):
        longest = _MARKED_LENGTH if ZERO_WIDTH_SPACE in line else _UNSPACED_LENGTH
        pieces = [span for start, end in tokens(line) for span in _pieces(line[start:end], start, longest)]
        yield line, join_marks(line, pieces)


def clean(text: str) -> str:
    """Return ``text`` in NFC on one line, without control characters and explicit direction overrides.

    Joiners (U+200C, U+200D), variation selectors and emoji tags are kept, because letters and emoji need them. So are
    no-break spaces, the zero-width space and the word joiner, which say where words end, and characters that Python's
    Unicode tables do not know, because these are older than some emoji. Inside a word U+FEFF is a word joiner.
    """
    kept = []
    for character in _BYTE_ORDER_MARK.sub(_joiner_or_nothing, unicodedata.normalize("NFC", text)):
        category = unicodedata.category(character)
        if character in GLUE or character == ZERO_WIDTH_SPACE:
            kept.append(character)
        elif category in ("Zs", "Zl", "Zp") or character in "\t\n\r\v\f":
            kept.append(" ")
        elif category == "Cf" and not (
            character in "\u200c\u200d\u200e\u200f" or "\U000e0020" <= character <= "\U000e007f"
        ):
            continue
        elif category not in ("Cc", "Cs", "Co") and not _is_noncharacter(ord(character)):
            kept.append(character)
    return _NEEDLESS_JOINER.sub("", collapse_gaps("".join(kept)))


def _joiner_or_nothing(mark: re.Match[str]) -> str:
    before, after = mark.string[: mark.start()][-1:], mark.string[mark.end() :][:1]
    return WORD_JOINER if before.strip() and after.strip() else ""


def _is_noncharacter(code: int) -> bool:
    """Return whether the code point is a noncharacter (Unicode section 23.7), which valid text does not contain."""
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def _pieces(word: str, offset: int, longest: int) -> list[tuple[int, int]]:
    """Return the spans in the line of the pieces of ``word``, which begins at ``offset`` of the line."""
    if _CJK.search(word):
        spans = [match.span() for match in _CJK_PIECE.finditer(word)]
    elif _UNSPACED.search(word) and len(word) > longest:
        spans = _cut_unspaced(word)
    else:
        spans = [(0, len(word))]
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and (word[start] in GLUE or word[start - 1] in GLUE):
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
