"""Match aligned words to the words of the lyrics, letter by letter, so that spelling and spacing may differ."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.words import AlignedWord

#: After a difference, matching resumes where this many letters are equal, at most ``_MAX_SKIP`` letters ahead in each.
_ANCHOR_LETTERS = 6
_MAX_SKIP = 40
#: The number of letters to skip in both texts if no such place is found.
_UNMATCHED_SKIP = 20


@dataclass(frozen=True, slots=True)
class Times:
    """Start and end of one word, in seconds."""

    start: float
    end: float


def match(words: Sequence[str], aligned: Sequence[AlignedWord]) -> list[Times | None]:
    """Return the times of each of ``words``; ``None`` for a word that matches none of the aligned ones.

    Both are in the order in which they are sung. A word has times if at least half of its letters were matched.
    """
    lyric_letters = [(letter, index) for index, word in enumerate(words) for letter in _letters(word)]
    aligned_letters = [pair for word in aligned for pair in _timed_letters(word)]
    matched: dict[int, list[Times]] = {}
    for i, j in _pairs(
        "".join(letter for letter, _ in lyric_letters), "".join(letter for letter, _ in aligned_letters)
    ):
        if (time := aligned_letters[j][1]) is not None:
            matched.setdefault(lyric_letters[i][1], []).append(time)
    times: list[Times | None] = [None] * len(words)
    for index, letters in matched.items():
        if 2 * len(letters) >= len(_letters(words[index])):
            times[index] = Times(letters[0].start, letters[-1].end)
    return _ascending(times)


def coverage(words: Sequence[str], times: Sequence[Times | None]) -> float:
    """Return the share (0 to 1) of the words with letters that have times; 0.0 if no word contains a letter."""
    sung = [time for word, time in zip(words, times, strict=True) if _letters(word)]
    return sum(time is not None for time in sung) / len(sung) if sung else 0.0


def _letters(text: str) -> str:
    """Return the letters, digits and their marks, casefolded and normalized."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if unicodedata.category(character)[0] in "LNM")


def _timed_letters(word: AlignedWord) -> list[tuple[str, Times | None]]:
    """Return each letter with its share of the word's time.

    The letters have no times if the word has none, or if it starts and ends at the same moment: an aligner that has
    lost its place gives many words the same time.
    """
    letters = _letters(word.text)
    if word.start is None or word.end is None or word.end <= word.start:
        return [(letter, None) for letter in letters]
    start, share = word.start, (word.end - word.start) / max(1, len(letters))
    return [(letter, Times(start + index * share, start + (index + 1) * share)) for index, letter in enumerate(letters)]


def _pairs(lyrics: str, aligned: str) -> list[tuple[int, int]]:
    """Return the positions ``(in lyrics, in aligned)`` of letters that match, ascending in both texts."""
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < len(lyrics) and j < len(aligned):
        if lyrics[i] == aligned[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
            continue
        i, j = _rejoin(lyrics, aligned, i, j)
        # Letters before the difference may have matched by chance. If they also match the letters before the place
        # where matching resumes, they are paired with those.
        back = 1
        while pairs and _by_chance(pairs[-1], i - back, j - back) and lyrics[i - back] == aligned[j - back]:
            pairs.pop()
            back += 1
        pairs += [(i - step, j - step) for step in range(back - 1, 0, -1)]
    return pairs


def _by_chance(pair: tuple[int, int], i: int, j: int) -> bool:
    """Return whether exactly one side of the pair is at this position, so that the pair may be by chance."""
    return (pair[0] == i) != (pair[1] == j)


def _rejoin(lyrics: str, aligned: str, i: int, j: int) -> tuple[int, int]:
    """Return the nearest positions where the texts agree again, or positions further on in both if there are none."""
    for distance in range(1, 2 * _MAX_SKIP):
        for skipped in range(max(0, distance - _MAX_SKIP), min(distance, _MAX_SKIP) + 1):
            a, b = i + skipped, j + distance - skipped
            anchor = lyrics[a : a + _ANCHOR_LETTERS]
            whole = len(anchor) == _ANCHOR_LETTERS or (
                a + len(anchor) == len(lyrics) and b + len(anchor) == len(aligned)
            )
            if anchor and whole and aligned[b : b + _ANCHOR_LETTERS] == anchor:
                return a, b
    return i + _UNMATCHED_SKIP, j + _UNMATCHED_SKIP


def _ascending(times: Sequence[Times | None]) -> list[Times | None]:
    """Return the times without those that go back in time: the longest ascending subsequence is kept."""
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
