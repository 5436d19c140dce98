"""One suite for every local aligner: constructed speech of known word times, wrong lyrics, silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ops.demo.speech import Speech, speak
from pipelines.media.align.acoustic import PhonemeModel
from pipelines.media.align.aligner import CtcAligner, LyricsAligner
from schemas.errors import InvalidAudio
from schemas.words import AlignedLyrics
from tests.media_probe import write_wav
from tests.spoken import TEXTS, lines_of, spoken, write_speech

ALIGNERS: dict[str, Callable[[], LyricsAligner]] = {"phonemes": lambda: CtcAligner(PhonemeModel())}


@pytest.fixture(params=ALIGNERS)
def aligner(request: pytest.FixtureRequest) -> LyricsAligner:
    return ALIGNERS[request.param]()


def align(aligner: LyricsAligner, path: Path, lines: list[list[str]], language: str | None = None) -> AlignedLyrics:
    shares: list[float] = []
    found = aligner.align(path, "wav", lines, language, shares.append)
    assert all(0 <= share <= 1 for share in shares)
    return found


def errors_of(found: AlignedLyrics, speech: Speech) -> NDArray[np.float64]:
    """Return the error of each word's start in seconds; infinite for a word without times."""
    assert found.times is not None, found.why
    starts = [np.inf if span is None else span[0] for span in found.times]
    errors: NDArray[np.float64] = np.abs(np.array(starts) - np.array(speech.starts))
    return errors


CLEAN = dict.fromkeys(TEXTS, (0.9, 0.06))
MIXED = {"en": (0.85, 0.08), "hi": (0.85, 0.08)}


@pytest.mark.parametrize(
    ("language", "level", "share", "median"),
    [(language, 0.0, *limits) for language, limits in CLEAN.items()]
    + [(language, 1.0, *limits) for language, limits in MIXED.items()],
)
def test_the_words_of_speech_are_found(
    aligner: LyricsAligner, language: str, level: float, share: float, median: float, tmp_path: Path
) -> None:
    speech = spoken(language)
    path = write_speech(tmp_path / "speech.wav", speech, level)
    found = align(aligner, path, lines_of(language), language)
    errors = errors_of(found, speech)
    assert (errors <= 0.3).mean() >= share
    assert np.median(errors) <= median
    assert found.times is not None
    starts = [span[0] for span in found.times if span is not None]
    assert starts == sorted(starts)
    assert [line.count for line in found.lines] == [len(line) for line in lines_of(language)]


NOUNS = "Wolken Sterne Regen Schnee\nBerge Täler Flüsse Meere\nSonntag Nachmittag Spaziergang\nKirschbaum Morgenröte"


@pytest.mark.parametrize(
    ("voice", "text"), [TEXTS["es"], ("de", NOUNS)], ids=["frequent words decide", "the sound decides"]
)
def test_the_language_need_not_be_named(aligner: LyricsAligner, voice: str, text: str, tmp_path: Path) -> None:
    lines = text.split("\n")
    speech = speak(lines, voice)
    found = align(aligner, write_speech(tmp_path / "speech.wav", speech), [line.split() for line in lines])
    assert (errors_of(found, speech) <= 0.3).mean() >= 0.9
    assert found.voice == voice


@pytest.mark.parametrize(
    ("sound", "lyrics", "words"),
    [
        ("en", "de", None),
        ("zh", "fr", None),
        ("en", "en", ["summer", "rain", "is", "falling", "down", "again", "tonight"]),
    ],
)
def test_lyrics_of_something_else_are_not_aligned(
    aligner: LyricsAligner, sound: str, lyrics: str, words: list[str] | None, tmp_path: Path
) -> None:
    path = write_speech(tmp_path / "speech.wav", spoken(sound))
    found = align(aligner, path, [words] * 5 if words else lines_of(lyrics), lyrics)
    assert found.times is None
    assert found.why


def test_a_line_that_is_not_spoken_is_spread_and_the_others_are_aligned(aligner: LyricsAligner, tmp_path: Path) -> None:
    speech, lines = spoken("en"), lines_of("en")
    unsung = ["purple", "monkeys", "juggle", "broken", "bicycles"]
    path = write_speech(tmp_path / "speech.wav", speech)
    found = align(aligner, path, [*lines[:2], unsung, *lines[2:]], "en")
    assert found.times is not None
    assert [line.way for line in found.lines] == ["aligned", "aligned", "spread", "aligned", "aligned", "aligned"]
    first = found.lines[2].first
    assert found.times[first : first + len(unsung)] == (None,) * len(unsung)
    others = [span for n, span in enumerate(found.times) if not first <= n < first + len(unsung)]
    errors = [abs(span[0] - start) for span, start in zip(others, speech.starts, strict=True) if span]
    assert np.mean(np.array(errors) <= 0.3) >= 0.9


@pytest.mark.parametrize("sound", ["silence", "tone", "empty"])
def test_where_nobody_sings_nothing_is_aligned(aligner: LyricsAligner, sound: str, tmp_path: Path) -> None:
    samples = np.zeros(0 if sound == "empty" else 16_000 * 12, np.float32)
    path = tmp_path / "sound.wav"
    if sound == "tone":
        write_wav(path, 12.0)
    else:
        write_speech(path, Speech(samples if sound == "silence" else np.zeros(1, np.float32), 16_000, []))
    found = align(aligner, path, lines_of("en"))
    assert found.times is None
    assert found.why


def test_words_that_cannot_be_spoken_are_left_to_their_neighbours(aligner: LyricsAligner, tmp_path: Path) -> None:
    speech, lines = spoken("en"), lines_of("en")
    found = align(aligner, write_speech(tmp_path / "s.wav", speech), [["♪"], *lines[:-1], [*lines[-1], "🎵"]], "xx")
    assert found.times is not None, found.why
    known = np.array([np.inf if span is None else span[0] for span in found.times[1:-1]])
    assert np.mean(np.abs(known - np.array(speech.starts)) <= 0.3) >= 0.9


def test_damaged_audio_is_an_error_of_the_audio(aligner: LyricsAligner, tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(b"RIFF....WAVEnothing")
    with pytest.raises(InvalidAudio):
        align(aligner, path, [["one"]])
