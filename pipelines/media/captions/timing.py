"""Times of the words from an alignment: aligned words keep their times, the others are interpolated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise

from pipelines.media.captions.matching import Times, coverage, match
from pipelines.media.captions.placement import Span
from pipelines.media.captions.word_groups import Group, words_by_line, words_of
from schemas.words import AlignedWord, TimedWord

#: Longest time in seconds for each word without times before the first or after the last aligned word.
_WORD_SECONDS = 0.5
#: Shortest time between the starts of two captions, in seconds: more than one frame, so that each is visible.
_APART_SECONDS = 0.05
#: The share of its words from which a line is sung for certain, and the least time in seconds for each word of another.
_LINE_FOUND = 0.25
_LEAST_WORD_SECONDS = 0.15
#: The shortest pause in seconds that ends a line of a transcription, and the most words in a line.
_PAUSE_SECONDS = 1.0
_LINE_WORDS = 200
#: Characters that end a sentence.
_SENTENCE_ENDS = frozenset(".!?…。！？।؟")


def fill(words: Sequence[str], times: Sequence[Times | None], duration: float) -> list[TimedWord]:
    """Return every word with its times in seconds, in order and within ``duration``.

    Words between two aligned words share the gap in proportion to their lengths. Words before the first and after the
    last aligned word are placed next to it. If no word is aligned, all words get equal shares of ``duration``.
    """
    known = [time if time is not None and time.start < duration else None for time in times]
    aligned = [index for index, time in enumerate(known) if time is not None]
    if not aligned:
        share = duration / len(words) if words else 0.0
        return [TimedWord(text, index * share, (index + 1) * share, False) for index, text in enumerate(words)]
    timed: list[TimedWord] = []
    for here, after in zip([-1, *aligned], [*aligned, len(words)], strict=True):
        if here >= 0:
            time = known[here]
            assert time is not None
            following = known[after] if after < len(words) else None
            limit = duration if following is None else following.start
            timed.append(TimedWord(words[here], time.start, max(time.start, min(time.end, limit)), time.heard))
        gap = words[here + 1 : after]
        low = timed[-1].end if timed else 0.0
        next_time = known[after] if after < len(words) else None
        high = duration if next_time is None else max(low, next_time.start)
        if here < 0:
            low = max(low, high - _WORD_SECONDS * len(gap))
        elif next_time is None:
            high = min(high, low + _WORD_SECONDS * len(gap))
        timed += _shared(gap, low, high)
    return timed


@dataclass(frozen=True, slots=True)
class SungLines:
    """The lines of lyrics that are shown, and the times of their words."""

    lyrics: str
    times: tuple[Times | None, ...]
    #: How many lines there are of which hardly a word was found, and how many are not shown.
    not_found: int
    left_out: int


def sung_lines(lyrics: str, aligned: Sequence[AlignedWord], duration: float) -> SungLines:
    """Match ``aligned`` with the lines that are sung.

    A line is left out if hardly a word of it was found, and its neighbours leave no time for it.
    """
    lines, words = lyrics.split("\n"), words_by_line(lyrics)
    bounds = [0, *accumulate(map(len, words))]
    times = match(words_of(lyrics), aligned)
    found = [coverage(line, times[low:high]) for line, (low, high) in zip(words, pairwise(bounds), strict=True)]
    shown: list[int] = []
    for is_sung, run in groupby(range(len(lines)), key=lambda line: found[line] >= _LINE_FOUND):
        here = list(run)
        first, end = bounds[here[0]], bounds[here[-1] + 1]
        if is_sung or _room(times, first, end, duration) >= _LEAST_WORD_SECONDS * (end - first):
            shown += here
    text = "\n".join(lines[line] for line in shown)
    if len(shown) < len(lines):
        # A line that is left out may have taken an equal word from its neighbour.
        times = match(words_of(text), aligned)
    return SungLines(
        lyrics=text,
        times=tuple(times),
        not_found=sum(bool(line) and share < _LINE_FOUND for line, share in zip(words, found, strict=True)),
        left_out=sum(map(bool, words)) - sum(bool(words[line]) for line in shown),
    )


def _room(times: Sequence[Times | None], first: int, end: int, duration: float) -> float:
    """Return the seconds between the nearest words with times before ``first`` and from ``end``."""
    low = next((time.end for time in reversed(times[:first]) if time is not None), 0.0)
    high = next((time.start for time in times[end:] if time is not None), duration)
    return high - low


def spans_of(groups: Sequence[Group], timed: Sequence[TimedWord], duration: float) -> list[Span]:
    """Return the spans of the groups, with starts far enough apart for each to be visible if ``duration`` allows."""
    spans = [Span(group.text, timed[group.first].start, timed[group.first + group.count - 1].end) for group in groups]
    apart = min(_APART_SECONDS, duration / len(spans)) if spans else 0.0
    for index in range(1, len(spans)):
        spans[index] = replace(spans[index], start=max(spans[index].start, spans[index - 1].start + apart))
    latest = duration
    for index in range(len(spans) - 1, -1, -1):
        latest -= apart
        start = min(spans[index].start, latest)
        latest = start
        spans[index] = replace(spans[index], start=start, end=max(spans[index].end, start + apart))
    return spans


def text_of(transcribed: Sequence[AlignedWord]) -> str:
    """Return a transcription as lyrics: a new line after a pause, after a sentence and after ``_LINE_WORDS`` words."""
    lines: list[list[str]] = [[]]
    last: AlignedWord | None = None
    for word in transcribed:
        pause = last is not None and last.end is not None and word.start is not None and word.start - last.end
        ended = last is not None and last.text.strip()[-1:] in _SENTENCE_ENDS
        if lines[-1] and (ended or (pause or 0.0) >= _PAUSE_SECONDS or len(lines[-1]) >= _LINE_WORDS):
            lines.append([])
        lines[-1].append(" ".join(word.text.split()))
        last = word
    return "\n".join(_joined(line) for line in lines)


def _joined(words: Sequence[str]) -> str:
    """Join the words to a line, without spaces between words of scripts that write none."""
    line = ""
    for word in words:
        without_space = line and _unspaced(line[-1]) and _unspaced(word[0])
        line += word if without_space or not line else f" {word}"
    return line


def _unspaced(character: str) -> bool:
    """Return whether the character's script writes no spaces between words: Chinese, Japanese, Thai, Lao, Khmer, …."""
    ranges = (
        ("\u0e00", "\u0eff"),
        ("\u1000", "\u109f"),
        ("\u1780", "\u17ff"),
        ("\u2e80", "\u9fff"),
        ("\uf900", "\ufaff"),
    )
    wide = (("\uff00", "\uffef"), ("\U00020000", "\U0003ffff"))
    return any(low <= character <= high for low, high in (*ranges, *wide))


def _shared(words: Sequence[str], low: float, high: float) -> list[TimedWord]:
    """Return ``words`` between the times ``low`` and ``high``, each with a share in proportion to its length."""
    total = sum(len(word) + 1 for word in words)
    timed, at = [], low
    for word in words:
        end = at + (high - low) * (len(word) + 1) / total
        timed.append(TimedWord(word, at, end, False))
        at = end
    return timed
