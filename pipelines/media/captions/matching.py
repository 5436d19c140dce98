"""Match aligned words to the words of the lyrics by their letters, so that spelling and spacing may differ."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.words import AlignedWord

#: Where the texts diverge, they are joined again at this many equal letters, searched this far ahead.
_ANCHOR = 6
_REACH = 40
#: Letters that are given up at once where they do not meet again.
_LOST = 20


@dataclass(frozen=True, slots=True)
class Times:
    """Start and end of one word, in seconds."""

    start: float
    end: float


def match(words: Sequence[str], heard: Sequence[AlignedWord]) -> list[Times | None]:
    """Return the times of each of ``words``; ``None`` where none of the aligned words fits.

    Both are in the order in which they are sung. A word has times when at least half of its letters were found.
    """
    theirs = [pair for word in heard for pair in _timed_letters(word)]
    ours = [(letter, index) for index, word in enumerate(words) for letter in _letters(word)]
    found: dict[int, list[Times]] = {}
    for mine, other in _pairs("".join(letter for letter, _ in ours), "".join(letter for letter, _ in theirs)):
        if (time := theirs[other][1]) is not None:
            found.setdefault(ours[mine][1], []).append(time)
    times: list[Times | None] = [None] * len(words)
    for index, letters in found.items():
        if 2 * len(letters) >= len(_letters(words[index])):
            times[index] = Times(letters[0].start, letters[-1].end)
    return _ascending(times)


def coverage(words: Sequence[str], times: Sequence[Times | None]) -> float:
    """Return the share of the words with letters that have times; 0.0 if no word has letters."""
    sung = [time for word, time in zip(words, times, strict=True) if _letters(word)]
    return sum(time is not None for time in sung) / len(sung) if sung else 0.0


def _letters(text: str) -> str:
    """Return the letters, digits and their marks, casefolded and normalized."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if unicodedata.category(character)[0] in "LNM")


def _timed_letters(word: AlignedWord) -> list[tuple[str, Times | None]]:
    """Return each letter with its share of the word's time.

    Without a time where the word has none, or one without length: aligners that are lost give many words one time.
    """
    letters = _letters(word.text)
    if word.start is None or word.end is None or word.end <= word.start:
        return [(letter, None) for letter in letters]
    start, share = word.start, (word.end - word.start) / max(1, len(letters))
    return [(letter, Times(start + index * share, start + (index + 1) * share)) for index, letter in enumerate(letters)]


def _pairs(mine: str, other: str) -> list[tuple[int, int]]:
    """Return positions of equal letters, ascending in both texts."""
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < len(mine) and j < len(other):
        if mine[i] == other[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
            continue
        i, j = _rejoin(mine, other, i, j)
        # Letters that were equal by chance before the texts parted belong to where they meet again.
        back = 1
        while pairs and _by_chance(pairs[-1], i - back, j - back) and mine[i - back] == other[j - back]:
            pairs.pop()
            back += 1
        pairs += [(i - step, j - step) for step in range(back - 1, 0, -1)]
    return pairs


def _by_chance(pair: tuple[int, int], i: int, j: int) -> bool:
    """Return whether a pair consists of a letter that could pair with its neighbour as well."""
    return (pair[0] == i) != (pair[1] == j)


def _rejoin(mine: str, other: str, i: int, j: int) -> tuple[int, int]:
    """Return where the texts agree again, as near as possible; some letters further in both if they do not."""
    for distance in range(1, 2 * _REACH):
        for skipped in range(max(0, distance - _REACH), min(distance, _REACH) + 1):
            a, b = i + skipped, j + distance - skipped
            anchor = mine[a : a + _ANCHOR]
            whole = len(anchor) == _ANCHOR or (a + len(anchor) == len(mine) and b + len(anchor) == len(other))
            if anchor and whole and other[b : b + _ANCHOR] == anchor:
                return a, b
    return i + _LOST, j + _LOST


def _ascending(times: Sequence[Times | None]) -> list[Times | None]:
    """Return the times without those that go back: the longest ascending run is kept."""
    tails: list[float] = []
    places: list[int] = []
    before: list[int | None] = [None] * len(times)
    for index, time in enumerate(times):
        if time is None:
            continue
        place = bisect_left(tails, time.start)
        before[index] = places[place - 1] if place else None
        tails[place : place + 1] = [time.start]
        places[place : place + 1] = [index]
    kept: set[int] = set()
    at = places[-1] if places else None
    while at is not None:
        kept.add(at)
        at = before[at]
    return [time if index in kept else None for index, time in enumerate(times)]
