"""A reel with recognised words: each caption is visible exactly at the times in its caption file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from pipelines.memory_context import MemoryContext
from pipelines.reel import reel
from providers.registry import catalogue_of
from schemas.settings import Settings
from schemas.words import WordTimes
from tests.media_probe import frames_of, reel_data, write_photo, write_wav

SECONDS = 5.0
LYRICS = "First light\nof day\nNever again"
#: Word, start, end. The fourth word was not recognised, and the last line starts late.
RECOGNISED = [("First", 0.5, 0.8), ("light", 0.9, 1.2), ("of", 2.0, 2.2), ("Never", 4.0, 4.2), ("again", 4.3, 4.6)]


def rendered(
    folder: Path,
    lyrics: str = LYRICS,
    recognised: Sequence[tuple[str, float, float]] = RECOGNISED,
    **options: object,
) -> MemoryContext:
    words = [{"text": text, "start": start, "end": end} for text, start, end in recognised]
    context = MemoryContext(
        folder,
        "reel",
        {
            "s3://bucket/a.jpg": write_photo(folder / "p.jpg"),
            "s3://bucket/a.wav": write_wav(folder / "a.wav", max(SECONDS, recognised[-1][2] + 0.4)),
        },
        catalogue_of(Settings()),
        {"forced-alignment": lambda asked: {"words": words}},
    )
    wanted = {"alignment_mode": "auto", "min_duration": 0.2, "words_per_group": 2, **options}
    made = reel(reel_data(lyrics, **wanted), context)
    assert [artifact.name for artifact in made] == [
        "video.mp4",
        "captions.srt",
        "captions.vtt",
        "captions.lrc",
        "captions.ass",
        "words.json",
        "cover.jpg",
    ]
    return context


def seen(folder: Path) -> list[tuple[float, float]]:
    """Return the times in seconds at which text is visible, found by its pixels."""
    spans: list[tuple[float, float]] = []
    frames = [pixels.astype(int) for _, _, pixels in frames_of(folder / "video.mp4")]
    blank = frames[0]
    shown = [bool((np.abs(frame - blank).max(axis=2) > 90).sum() > 40) for frame in frames]
    for index, on in enumerate([*shown, False]):
        if on and (index == 0 or not shown[index - 1]):
            spans.append((index / 30, 0.0))
        elif not on and index and shown[index - 1]:
            spans[-1] = (spans[-1][0], index / 30)
    return spans


@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_captions_are_visible_while_their_words_are_sung(tmp_path: Path, offset: float) -> None:
    context = rendered(tmp_path, timing_offset=offset)
    # "day" was not recognised: it gets a share of the gap before the next word.
    expected = [(0.5, 1.2), (2.0, 4.0), (4.0, 4.6)]
    joined = [(start + offset, end + offset) for start, end in (expected[0], (expected[1][0], expected[2][1]))]
    assert seen(tmp_path) == [pytest.approx(span, abs=1 / 30) for span in joined]
    times = [line for line in (tmp_path / "captions.srt").read_text().splitlines() if "-->" in line]
    assert times[0] == ("00:00:00,500 --> 00:00:01,200" if not offset else "00:00:00,800 --> 00:00:01,500")
    assert context.manifest_details == {"alignment": {"mode": "auto", "used": "forced_alignment"}}


def test_no_caption_of_a_verse_blinks_off_before_the_next_one_reel_H2(tmp_path: Path) -> None:
    """Words of 0.32 s with 60 ms between them, and 0.4 s between the lines; then a break of 0.9 s."""
    lines = ["one two three four five six seven", "eight nine ten eleven", "twelve thirteen"]
    recognised, at = [], 0.4
    for line, pause in zip(lines, (0.4, 0.9, 0.0), strict=True):
        for word in line.split():
            recognised.append((word, at, at + 0.32))
            at += 0.38
        at += pause - 0.06
    rendered(tmp_path, "\n".join(lines), recognised, words_per_group=3, min_duration=0.0)
    first, last = recognised[0][1], recognised[-3][2]
    assert seen(tmp_path) == [
        pytest.approx((first, last), abs=1 / 30),
        pytest.approx((recognised[-2][1], recognised[-1][2]), abs=1 / 30),
    ]
    for name in ("captions.srt", "captions.vtt"):
        text = (tmp_path / name).read_text().replace(",", ".")
        times = [line.split(" --> ") for line in text.splitlines() if "-->" in line]
        assert [end == following for (_, end), (following, _) in pairwise(times)] == [True] * 4 + [False]
        shown = [line for line in text.splitlines() if line[:1].isalpha() and line != "WEBVTT"]
        assert shown == ["one two three", "four five", "six seven", "eight nine", "ten eleven", "twelve thirteen"]


def test_the_words_file_has_the_times_of_the_audio(tmp_path: Path) -> None:
    rendered(tmp_path, timing_offset=1.0, language="en")
    words = TypeAdapter(WordTimes).validate_json((tmp_path / "words.json").read_bytes())
    assert (words.version, words.source, words.language, words.duration_seconds) == (1, "forced_alignment", "en", 5.0)
    assert [(word.text, word.start, word.heard) for word in words.words] == [
        ("First", 0.5, True),
        ("light", 0.9, True),
        ("of", 2.0, True),
        ("day", 2.2, False),
        ("Never", 4.0, True),
        ("again", 4.3, True),
    ]
