"""Without an aligner, words are spread over the moments with a voice: reel report H5."""

from __future__ import annotations

import random
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.media.captions.spread import spread
from pipelines.media.captions.word_groups import words_by_line, words_of
from pipelines.media.inspect.voice import RATE, voice_activity

VERSE = """Morning light is falling on the river
Every window turns to gold again
I have kept the letters that you sent me
Folded in the pocket of the rain"""
LYRICS = f"{VERSE}\n\nSo carry me home\nOver the mountain and over the foam\nI was never afraid of the way\n\n{VERSE}"
CHINESE = "清晨的阳光落在河面上\n我看见你的影子\n\n月亮代表我的心\n我爱你中国"
ONE_LINE_EACH = "\n".join(["home", "la la la", "over the mountains of the moon", "go"] * 4)
SAMPLES = 16_000


def performed(
    lyrics: str, *, intro: float = 4.0, outro: float = 3.0, seed: int = 1
) -> tuple[NDArray[np.float64], list[float]]:
    """Return a tone for each word, with pauses between lines and breaks between stanzas, and when the words start."""
    rng = random.Random(seed)
    spans, at = [], intro
    for words in words_by_line(lyrics):
        for word in words:
            length = 0.12 + 0.055 * len(word) * rng.uniform(0.8, 1.2)
            spans.append((at, at + length))
            at += length + 0.02
        at += rng.uniform(0.3, 0.9) if words else 3.0
    sound = np.zeros(round((at + outro) * SAMPLES))
    for start, end in spans:
        moments = np.arange(round((end - start) * SAMPLES)) / SAMPLES
        first = round(start * SAMPLES)
        sound[first : first + len(moments)] = 0.4 * np.sin(2 * np.pi * 440 * moments)
    return sound, [start for start, _ in spans]


def written(path: Path, sound: NDArray[np.float64]) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLES)
        file.writeframes((sound * 32_000).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("noise", [0.0, 0.02], ids=["clean", "noise"])
@pytest.mark.parametrize(
    ("lyrics", "intro"),
    [(LYRICS, 4.0), (LYRICS, 15.0), (CHINESE, 4.0), (ONE_LINE_EACH, 0.0)],
    ids=["song", "long-intro", "chinese", "short-lines"],
)
def test_words_start_with_the_voice_reel_H5(tmp_path: Path, lyrics: str, intro: float, noise: float) -> None:
    sound, starts = performed(lyrics, intro=intro)
    sound += noise * np.random.default_rng(1).standard_normal(len(sound))
    seconds = len(sound) / SAMPLES
    active = voice_activity(written(tmp_path / "song.wav", sound), "wav", seconds)
    spread_errors = [abs(time.start - start) for time, start in zip(spread(lyrics, active), starts, strict=True)]
    even_errors = [abs(n * seconds / len(starts) - start) for n, start in enumerate(starts)]
    assert np.median(spread_errors) < 0.12
    assert np.percentile(spread_errors, 95) < 0.6
    assert np.median(spread_errors) < np.median(even_errors) / 5


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("seconds", [0.02, 0.5, 30.0])
def test_every_word_gets_a_time_in_order_whatever_is_active(share: float, seconds: float) -> None:
    rng = np.random.default_rng(3)
    for lyrics in (LYRICS, CHINESE, "a", "\n\na\n\n\nb\n", "la " * 500, "la\n" * 500):
        active = np.repeat(rng.random(max(1, round(seconds * RATE / 10))) < share, 10)[: max(1, round(seconds * RATE))]
        times = spread(lyrics, active)
        assert len(times) == len(words_of(lyrics))
        assert all(time.start < time.end for time in times)
        assert sorted(time.start for time in times) == [time.start for time in times]


def test_words_end_before_a_break_reel_H5() -> None:
    active = np.zeros(20 * RATE, np.bool_)
    active[2 * RATE : 4 * RATE] = active[12 * RATE : 14 * RATE] = True
    times = spread("one two three\nfour five six", active)
    assert times[0].start == pytest.approx(2.0, abs=0.1)
    assert times[2].end == pytest.approx(4.0, abs=0.3)
    assert times[3].start == pytest.approx(12.0, abs=0.1)
    assert times[5].end == pytest.approx(14.0, abs=0.3)
