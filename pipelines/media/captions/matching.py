"""Match recognised words to the words of the lyrics by global alignment.

The alignment (Needleman and Wunsch, 1970) pairs whole words: equal ones, and similar ones by the pairs of letters that
they share (Dice, 1945). A word that is missing or additional on one side costs only itself. Between equal words, single
letters are aligned too, because an aligner may split or join words, as in Chinese or in ``rock 'n' roll``.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from schemas.words import AlignedWord

#: The cost of leaving out one word or letter, when an equal pair is worth 1 and a different pair costs 1.
_GAP = 0.4
#: The least similarity of two words that are paired: twice the shared pairs of letters over all of them.
_SIMILAR = 0.6
#: More distinct pairs of words are compared for equality only, and longer stretches of letters are not compared.
_MOST_WORD_PAIRS = 10_000_000
_MOST_LETTER_PAIRS = 25_000_000
#: The share of a word's letters that must be found, and by how much the place where they are found may be longer.
_LETTERS_FOUND = 2 / 3
_LETTERS_SPREAD = 1.25

#: Returns the worth of pairing one element with each element of the other sequence.
_Worth = Callable[[int], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Times:
    """Start and end of one word, in seconds."""

    start: float
    end: float
    #: False if they are interpolated.
    heard: bool = True


def match(words: Sequence[str], aligned: Sequence[AlignedWord]) -> list[Times | None]:
    """Return the times of each of ``words``; ``None`` for a word that matches none of the aligned ones.

    Both are in the order in which they are sung.
    """
    sung = [(index, letters) for index, word in enumerate(words) if (letters := _letters(word))]
    heard = [(word, letters) for word in aligned if (letters := _letters(word.text))]
    ours, theirs = [letters for _, letters in sung], [letters for _, letters in heard]
    found: list[Times | None] = [None] * len(sung)
    pairs = _path(len(ours), len(theirs), _similarity(ours, theirs))
    for i, j in pairs:
        found[i] = _times(heard[j][0])
    anchors = [(-1, -1), *((i, j) for i, j in pairs if ours[i] == theirs[j]), (len(ours), len(theirs))]
    for (i, j), (next_i, next_j) in pairwise(anchors):
        timed = [(_times(word), letters) for word, letters in heard[j + 1 : next_j]]
        for index, times in enumerate(_match_letters(ours[i + 1 : next_i], timed), start=i + 1):
            found[index] = times or found[index]
    times_of = {index: times for (index, _), times in zip(sung, found, strict=True)}
    return _ascending([times_of.get(index) for index in range(len(words))])


def coverage(words: Sequence[str], times: Sequence[Times | None]) -> float:
    """Return the share (0 to 1) of the words with letters that have times; 0.0 if no word contains a letter."""
    sung = [time for word, time in zip(words, times, strict=True) if _letters(word)]
    return sum(time is not None for time in sung) / len(sung) if sung else 0.0


def _letters(text: str) -> str:
    """Return the letters, digits and their marks, casefolded and normalized."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if unicodedata.category(character)[0] in "LNM")


def _times(word: AlignedWord) -> Times | None:
    """Return the word's times; ``None`` without both, or if it starts and ends at the same moment.

    An aligner that has lost its place gives many words the same time.
    """
    if word.start is None or word.end is None or word.end <= word.start:
        return None
    return Times(word.start, word.end)


def _path(rows: int, columns: int, worth: _Worth) -> list[tuple[int, int]]:
    """Return the pairs of the best global alignment, ascending in both. Time and memory grow with rows x columns."""
    steps = np.empty((rows, columns), np.int8)
    gaps = _GAP * np.arange(columns + 1)
    best = -gaps
    for row in range(rows):
        paired, left_out = best[:-1] + worth(row), best[1:] - _GAP
        here = np.concatenate(([best[0] - _GAP], np.maximum(paired, left_out)))
        # Leaving out elements of the columns: the running maximum of what a cell is worth plus the gaps before it.
        best = np.maximum.accumulate(here + gaps) - gaps
        steps[row] = np.where(best[1:] > here[1:] + 1e-9, 2, np.where(paired >= left_out, 0, 1))
    pairs, i, j = [], rows, columns
    while i and j:
        step = steps[i - 1, j - 1]
        if step == 0:
            pairs.append((i - 1, j - 1))
        i, j = i - (step != 2), j - (step != 1)
    return [(i, j) for i, j in reversed(pairs) if worth(i)[j] > 0]


def _similarity(ours: Sequence[str], theirs: Sequence[str]) -> _Worth:
    """Return the similarity of word ``i`` of the first to all of the second: 1 if equal, -1 if below ``_SIMILAR``."""
    known, others = sorted(set(ours)), sorted(set(theirs))
    place, other_place = ({word: n for n, word in enumerate(words)} for words in (known, others))
    columns = np.array([other_place[word] for word in theirs], np.intp)
    if len(known) * len(others) > _MOST_WORD_PAIRS:
        return lambda i: np.where(columns == other_place.get(ours[i], -1), 1.0, -1.0)
    table = _dice(known, others)
    return lambda i: np.asarray(table[place[ours[i]]][columns])


def _dice(words: Sequence[str], others: Sequence[str]) -> NDArray[np.float64]:
    """Return the similarity of each of ``words`` to each of ``others``."""
    shared = np.zeros((len(words), len(others)))
    grams, other_grams = ([_letter_pairs(word) for word in side] for side in (words, others))
    holders: dict[tuple[str, int], list[int]] = {}
    for n, found in enumerate(other_grams):
        for gram in found:
            holders.setdefault(gram, []).append(n)
    for n, found in enumerate(grams):
        for gram in found:
            shared[n, holders.get(gram, [])] += 1
    sizes, other_sizes = (np.array([len(found) for found in side]) for side in (grams, other_grams))
    dice = 2 * shared / (sizes[:, None] + other_sizes[None, :])
    return np.where(dice >= _SIMILAR, dice, -1.0)


def _letter_pairs(word: str) -> set[tuple[str, int]]:
    """Return the pairs of adjacent letters, with the word's two ends, each with its number of occurrence."""
    seen: Counter[str] = Counter()
    pairs = set()
    for pair in map("".join, pairwise(f"\n{word}\n")):
        pairs.add((pair, seen[pair]))
        seen[pair] += 1
    return pairs


def _match_letters(words: Sequence[str], heard: Sequence[tuple[Times | None, str]]) -> list[Times | None]:
    """Return the times of words of which enough letters are found close together among the recognised ones."""
    ours, theirs = "".join(words), "".join(letters for _, letters in heard)
    times: list[Times | None] = [None] * len(words)
    if not ours or not theirs or len(ours) * len(theirs) > _MOST_LETTER_PAIRS:
        return times
    codes = np.array([ord(letter) for letter in theirs])
    places = dict(_path(len(ours), len(theirs), lambda i: np.where(codes == ord(ours[i]), 1.0, -1.0)))
    moments = [moment for word in heard for moment in _letter_times(*word)]
    first = 0
    for index, word in enumerate(words):
        at = [places[n] for n in range(first, first + len(word)) if n in places]
        first += len(word)
        if len(at) < _LETTERS_FOUND * len(word) or at[-1] - at[0] + 1 > _LETTERS_SPREAD * len(word):
            continue
        start, end = moments[at[0]], moments[at[-1]]
        if start is not None and end is not None and end.end > start.start:
            times[index] = Times(start.start, end.end)
    return times


def _letter_times(times: Times | None, letters: str) -> list[Times | None]:
    """Return an equal share of the word's time for each of its letters."""
    if times is None:
        return [None] * len(letters)
    share = (times.end - times.start) / len(letters)
    return [Times(times.start + n * share, times.start + (n + 1) * share) for n in range(len(letters))]


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
