"""What is unsung, added or misheard costs the times of nothing else: the cases of report H1 on word matching."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence

import pytest

from pipelines.media.captions.matching import match
from pipelines.media.captions.timing import fill, sung_lines
from pipelines.media.captions.word_groups import words_of
from schemas.words import AlignedWord

_NOUNS = (
    "river morning window harbour summer lantern shadow mountain letter garden station silver "
    "thunder paper ocean orchard whisper copper feather valley mirror candle winter engine"
)
_VERBS = "falls returns opens wanders answers burns"
#: 24 lines; common words come back in every verse, as in a song.
LINES = [
    f"{start} {noun} {verb} {end}"
    for start, noun, verb, end in zip(
        ["I can see the", "and all of my", "when the old", "you take the", "so we follow", "oh let the"] * 4,
        _NOUNS.split(),
        _VERBS.split() * 4,
        ["down tonight", "again", "to me and you", "home", "in the light of day", "all over the town"] * 4,
        strict=True,
    )
]
HEADING = "[Pre-Chorus: First Artist & Second Artist featuring Third Artist]"
AD_LIB = "yeah oh yeah come on everybody sing it with me now one more time lets go"
EACH = 0.35


def sung(lines: Sequence[str]) -> list[AlignedWord]:
    """Return the words as a perfect aligner hears them."""
    words = " ".join(lines).split()
    return [AlignedWord(word, 4 + n * EACH, 4 + n * EACH + 0.3) for n, word in enumerate(words)]


HEARD = sung(LINES)


def errors(
    lyrics: Sequence[str], heard: Sequence[AlignedWord], truth: Sequence[float | None]
) -> tuple[int, list[float]]:
    """Return how many words have times, and the start errors in seconds of the words that are sung."""
    words = words_of("\n".join(lyrics))
    assert len(words) == len(truth)
    times = match(words, heard)
    timed = fill(words, times, 4 + len(HEARD) * EACH + 2)
    off = [abs(word.start - start) for word, start in zip(timed, truth, strict=True) if start is not None]
    return sum(found is not None for found in times), off


def starts(lines: Sequence[str]) -> list[float | None]:
    return [word.start for word in sung(LINES)][: len(" ".join(lines).split())]


@pytest.mark.parametrize("at", [0, 8, 24])
@pytest.mark.parametrize("text", ["[Verse 2: Somebody, Somebody Else]", HEADING, HEADING * 3], ids=["26", "52", "156"])
def test_a_heading_costs_no_word_its_time_reel_H1(text: str, at: int) -> None:
    before = starts(LINES[:at])
    truth = [*before, *[None] * len(words_of(text)), *starts(LINES)[len(before) :]]
    _, off = errors([*LINES[:at], text, *LINES[at:]], HEARD, truth)
    assert max(off) < 0.001


@pytest.mark.parametrize(("first", "end"), [(0, 4), (8, 12), (16, 24)])
def test_a_verse_that_is_not_sung_costs_only_itself_reel_H1(first: int, end: int) -> None:
    low, high = len(" ".join(LINES[:first]).split()), len(" ".join(LINES[:end]).split())
    heard = [word for n, word in enumerate(HEARD) if not low <= n < high]
    truth = [start if not low <= n < high else None for n, start in enumerate(starts(LINES))]
    found, off = errors(LINES, heard, truth)
    assert found >= len(heard) - 3
    assert statistics.median(off) < 0.001
    assert sorted(off)[int(0.95 * len(off))] < 0.001


@pytest.mark.parametrize(("first", "end"), [(0, 4), (8, 12), (16, 24)])
def test_a_verse_that_is_sung_but_not_in_the_lyrics_costs_nothing_reel_H1(first: int, end: int) -> None:
    low, high = len(" ".join(LINES[:first]).split()), len(" ".join(LINES[:end]).split())
    truth = [start for n, start in enumerate(starts(LINES)) if not low <= n < high]
    found, off = errors([*LINES[:first], *LINES[end:]], HEARD, truth)
    assert found == len(truth)
    assert sorted(off)[int(0.95 * len(off))] < 0.001


def test_an_ad_lib_costs_nothing_reel_H1() -> None:
    extra = [AlignedWord(word, 20 + n * 0.01, 20.005 + n * 0.01) for n, word in enumerate(AD_LIB.split())]
    later = next(n for n, word in enumerate(HEARD) if word.start is not None and word.start > 20)
    found, off = errors(LINES, [*HEARD[:later], *extra, *HEARD[later:]], starts(LINES))
    assert (found, max(off) < 0.001) == (len(HEARD), True)


@pytest.mark.parametrize(("share", "median", "p95"), [(0.05, 0.001, 0.35), (0.2, 0.001, 0.8), (0.4, 0.1, 2.0)])
def test_misheard_words_cost_only_themselves_reel_H1(share: float, median: float, p95: float) -> None:
    dice = random.Random(1)
    others = ["banana", "elephant", "so", "the", "wow"]
    heard = [
        AlignedWord(dice.choice(others), word.start, word.end) if dice.random() < share else word for word in HEARD
    ]
    found, off = errors(LINES, heard, starts(LINES))
    assert found >= (1 - share) * len(HEARD) * 0.95
    assert statistics.median(off) <= median
    assert sorted(off)[int(0.95 * len(off))] <= p95


@pytest.mark.parametrize(
    ("lyrics", "heard"),
    [
        ("colour my world", "color my world"),
        ("goin' down walkin' away", "going down walking away"),
        ("every body dance", "everybody dance"),
        ("everybody dance", "every body dance"),
        ("夜に駆ける君の夢", "夜 に 駆け る 君の 夢"),
        ("แสงอรุณส่องลงบนน้ำ", "แสง อรุณ ส่อง ลง บน น้ำ"),
    ],
)
def test_other_spellings_and_other_word_boundaries_match(lyrics: str, heard: str) -> None:
    words = words_of(lyrics)
    times = match(words, sung([heard]))
    assert None not in times
    begins = [found.start for found in times if found is not None]
    assert begins == sorted(begins)


def test_two_thousand_words_are_matched_in_half_a_second() -> None:
    dice = random.Random(2)
    known = ["".join(dice.choice("abcdefghijklmnop") for _ in range(dice.randint(2, 9))) for _ in range(900)]
    words = [dice.choice(known) for _ in range(2000)]
    heard = sung([" ".join(word if dice.random() > 0.3 else dice.choice(known) for word in words)])
    began = time.process_time()
    assert sum(found is not None for found in match(words, heard)) > 1300
    assert time.process_time() - began < 5  # 0.13 s on a quiet machine


def without(first: int, end: int) -> list[AlignedWord]:
    """Return what is sung, without the words of some lines: the time between their neighbours is a breath."""
    low, high = len(" ".join(LINES[:first]).split()), len(" ".join(LINES[:end]).split())
    cut = HEARD[high].start - HEARD[low].start if high < len(HEARD) else 0.0  # type: ignore[operator]
    later = [
        AlignedWord(word.text, word.start - cut, word.end - cut)  # type: ignore[operator]
        for word in HEARD[high:]
    ]
    return [*HEARD[:low], *later]


@pytest.mark.parametrize(("first", "end"), [(0, 4), (3, 4), (8, 12), (4, 20), (20, 24)])
def test_lines_without_words_or_time_are_left_out_reel_H1(first: int, end: int) -> None:
    heard = without(first, end)
    text = "\n".join(LINES)
    duration = (heard[-1].end or 0.0) + 0.3
    shown = sung_lines(text, heard, duration)
    assert shown.lyrics.split("\n") == (LINES[:first] + LINES[end:])
    assert [time and time.start for time in shown.times] == [word.start for word in heard]
    assert (shown.left_out, shown.not_found) == (end - first, end - first)
    assert min(word.end - word.start for word in fill(words_of(shown.lyrics), shown.times, duration)) > 0.1


def test_lines_that_may_have_been_sung_are_shown_in_the_time_that_is_left_reel_H1() -> None:
    text = "\n".join(LINES)
    low, high = len(" ".join(LINES[:8]).split()), len(" ".join(LINES[:10]).split())
    misheard = [word for n, word in enumerate(HEARD) if not low <= n < high]
    shown = sung_lines(text, misheard, 75.0)
    assert (shown.lyrics, shown.left_out, shown.not_found) == (text, 0, 2)
    assert min(word.end - word.start for word in fill(words_of(text), shown.times, 75.0)) > 0.1
