"""Lyrics cut into groups of words; one group is one caption."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.media.text.phrases import WITHOUT_SPACES, model_for, phrases
from pipelines.media.text.tokens import GLUE, WORD_JOINER, ZERO_WIDTH_SPACE, collapse_gaps, join_marks, tokens

_BYTE_ORDER_MARK = re.compile("\ufeff+")
#: A word joiner between letters that are not cut anyway.
_NEEDLESS_JOINER = re.compile(f"(?<!{WITHOUT_SPACES}){WORD_JOINER}(?!{WITHOUT_SPACES})")
#: Punctuation at the end of a word, also within quotes, or a closing bracket.
_PAUSE = re.compile(r"([,;:.!?…—–、。，．：；！？।॥؟،؛۔][\s'\"”’»]*|[)\]」』）】》])$")


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive words of one line of the lyrics, shown as one caption."""

    text: str
    #: Index of the first word among all words of the lyrics, and the number of words.
    first: int
    count: int


def group_words(lyrics: str, words_per_group: int, *, balanced: bool = False) -> list[Group]:
    """Return the groups of ``lyrics`` in order, with at most ``words_per_group`` words of one line each.

    Words are separated by spaces and zero-width spaces; punctuation, symbols and emoji between them belong to a word
    next to them. Text in scripts that write no spaces is cut into phrases or pieces of a few characters, each of which
    counts as a word. Headings such as ``[Chorus]`` are words like others.

    The last group of a line has what is left. If ``balanced``, the same number of groups are as even as they can be,
    and a group ends with punctuation where that leaves them even enough.
    """
    groups = []
    first = 0
    for line, spans in _lines(lyrics):
        words = [line[start:end] for start, end in spans]
        sizes = _balanced(words, words_per_group) if balanced else _consecutive(len(words), words_per_group)
        at = 0
        for size in sizes:
            groups.append(Group(line[spans[at][0] : spans[at + size - 1][1]], first + at, size))
            at += size
        first += at
    return groups


def _consecutive(count: int, most: int) -> list[int]:
    return [most] * (count // most) + ([count % most] if count % most else [])


def _balanced(words: Sequence[str], most: int) -> list[int]:
    """Return the sizes of the fewest groups of at most ``most`` words: even, without single words, cut at punctuation.

    The cost of a group is the square of its distance from the mean size; punctuation at its end is worth a quarter of
    the square of the mean, and a single word costs the whole of it.
    """
    count = len(words)
    groups = -(-count // most)
    best: list[tuple[int, int]] = [(0, 0)] * (count + 1)
    chosen = [0] * count
    for first in range(count - 1, -1, -1):
        options = []
        for size in range(min(most, count - first), 0, -1):
            end = first + size
            cost = 4 * (size * groups - count) ** 2
            cost += 4 * count**2 * (size == 1) - count**2 * (end < count and bool(_PAUSE.search(words[end - 1])))
            options.append((best[end][0] + 1, best[end][1] + cost, -size))
        *cost_of_best, negative = min(options)
        best[first], chosen[first] = (cost_of_best[0], cost_of_best[1]), -negative
    sizes, at = [], 0
    while at < count:
        sizes.append(chosen[at])
        at += chosen[at]
    return sizes


def words_by_line(lyrics: str) -> list[list[str]]:
    """Return the words of every line of ``lyrics``, also of lines without any."""
    return [[line[start:end] for start, end in spans] for line, spans in _lines(lyrics)]


def words_of(lyrics: str) -> list[str]:
    """Return every word of ``lyrics`` in order. ``Group.first`` is an index into this list."""
    return [word for words in words_by_line(lyrics) for word in words]


def _lines(lyrics: str) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    model = model_for(lyrics)
    for line in map(clean, lyrics.split("\n")):
        marked = ZERO_WIDTH_SPACE in line
        pieces = [span for start, end in tokens(line) for span in _pieces(line[start:end], start, model, marked)]
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


def _pieces(word: str, offset: int, model: str | None, marked: bool) -> list[tuple[int, int]]:
    """Return the spans in the line of the pieces of ``word``, which begins at ``offset`` of the line.

    ``model`` and ``marked`` are those of ``phrases``.
    """
    joined: list[tuple[int, int]] = []
    for start, end in phrases(word, model, marked=marked):
        if joined and (word[start] in GLUE or word[start - 1] in GLUE):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [(offset + start, offset + end) for start, end in joined]
