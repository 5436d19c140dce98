"""Aligners for a speech model in the operator's own folder."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from pipelines.media.align.acoustic import Floats, Tokens
from pipelines.media.align.recording import LEVEL_RATE, RATE, Sound, read_sound
from pipelines.media.captions.matching import match
from providers.local.speech_model import CtcSpeech, WhisperSpeech
from schemas.words import AlignedLyrics, AlignedWord, LineTimes

#: Seconds of sound that Whisper is given at once, and in how many of the last of them a quiet moment is looked for.
_WINDOW, _SEARCHED = 30, 8
#: The share of the words that must be found, in the whole text and in a line.
_ENOUGH = 0.5


class CharacterModel:
    """A CTC network that recognises characters; implements ``AcousticModel``."""

    def __init__(self, folder: Path) -> None:
        self._speech, self._name = CtcSpeech(folder), folder.name
        self._tokens = self._speech.inventory

    def readings(self, lines: Sequence[Sequence[str]], language: str | None) -> list[tuple[str, Tokens]]:
        """Return the characters of the words that the network knows; none if most words have none."""
        tokens = [[self._of(word) for word in line] for line in lines]
        known = [bool(word) for line in tokens for word in line]
        return [(self._name, tokens)] if sum(known) * 2 > len(known) else []

    def _of(self, word: str) -> list[int]:
        letters = (form for letter in unicodedata.normalize("NFC", word) if (form := self._known(letter)))
        return [self._tokens[letter] for letter in letters]

    def _known(self, letter: str) -> str | None:
        """Return the letter as the network knows it: in another case, or without marks."""
        plain = unicodedata.normalize("NFD", letter)[0]
        forms = (letter, letter.lower(), letter.upper(), plain.lower(), plain.upper())
        return next((form for form in forms if form in self._tokens), None)

    def recognise(self, samples: Floats) -> tuple[Floats, Floats]:
        """Return the log-probabilities (see ``AcousticModel``)."""
        return self._speech.recognise(samples)


class WhisperAligner:
    """Matches the lyrics with what Whisper writes down; implements ``LyricsAligner``."""

    def __init__(self, folder: Path, weights: Path | None = None) -> None:
        """Create an aligner; with the ``weights`` of the separation, Whisper is given the voice alone."""
        self._speech, self._name, self._weights = WhisperSpeech(folder), folder.name, weights

    def align(
        self,
        path: Path,
        kind: str,
        lines: Sequence[Sequence[str]],
        language: str | None,
        progress: Callable[[float], None],
    ) -> AlignedLyrics:
        """Return the times of the words (see ``LyricsAligner``)."""
        primary = None if language is None else language.replace("_", "-").split("-")[0].lower()
        heard: list[AlignedWord] = []
        with read_sound(path, kind, self._weights) as sound:
            for first, end in _windows(sound):
                heard += [
                    AlignedWord(text, start + first / RATE, stop + first / RATE)
                    for text, start, stop in self._speech.words(sound.part(first, end), primary)
                ]
                progress(end / len(sound))
        return self._matched(lines, heard)

    def _matched(self, lines: Sequence[Sequence[str]], heard: Sequence[AlignedWord]) -> AlignedLyrics:
        words = [word for line in lines for word in line]
        found = match(words, heard)
        shares, first = [], 0
        for line in lines:
            shares.append(LineTimes(first, len(line), *_sureness([t is not None for t in found[first:][: len(line)]])))
            first += len(line)
        coverage = round(sum(times is not None for times in found) / max(1, len(words)), 2)
        result = AlignedLyrics(None, confidence=coverage, voice=self._name, separated=self._weights is not None)
        if coverage < _ENOUGH:
            return replace(result, why=f"the model recognised {coverage:.0%} of the words, at least half are needed")
        sure = [line.way == "aligned" for line in shares for _ in range(line.count)]
        times = tuple((t.start, t.end) if t is not None and good else None for t, good in zip(found, sure, strict=True))
        return replace(result, times=times, lines=tuple(shares))


def _sureness(found: Sequence[bool]) -> tuple[float, Literal["aligned", "spread"]]:
    share = sum(found) / len(found)
    return round(share, 2), "aligned" if share >= _ENOUGH else "spread"


def _windows(sound: Sound) -> Iterator[tuple[int, int]]:
    """Yield where parts of at most 30 s begin and end: at quiet moments, so that no word is cut."""
    levels, hop, at = sound.levels(), RATE // LEVEL_RATE, 0
    while at < len(sound):
        end = at + _WINDOW * RATE
        if end < len(sound):
            last = levels[(end - _SEARCHED * RATE) // hop : end // hop]
            smooth = np.convolve(last, np.ones(20), "same")
            end -= (len(last) - int(smooth.argmin())) * hop
        yield at, min(end, len(sound))
        at = end
