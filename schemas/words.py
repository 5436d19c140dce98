"""Words and when they are heard: what aligners answer, and ``words.json``.

Plain records: the process that writes them decodes media and loads nothing that it does not need.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

#: Where the times of words come from.
Source = Literal["forced_alignment", "transcription", "even"]
WORDS_VERSION = 1


@dataclass(frozen=True, slots=True)
class Heard:
    """One word as a provider heard it; without times where it could not tell."""

    text: str
    #: Seconds from the start of the audio.
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True)
class TimedWord:
    """One word of ``words.json``. Times are seconds of the audio, before any ``timing_offset``."""

    text: str
    start: float
    end: float
    #: Whether the times were heard; else they are filled in between the neighbours'.
    heard: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WordTimes:
    """``words.json``: every word in order."""

    version: int = WORDS_VERSION
    source: Source
    language: str | None = None
    duration_seconds: float
    words: list[TimedWord]


def heard_words(value: Any) -> list[Heard]:
    """The words in an aligner's answer, ``{"words": [{"text", "start", "end"}]}``; what is no word is left out."""
    words = value.get("words") if isinstance(value, Mapping) else None
    return list(_read(words)) if isinstance(words, list) else []


def _read(words: Iterable[Any]) -> Iterable[Heard]:
    for word in words:
        if isinstance(word, Mapping) and isinstance(word.get("text"), str) and word["text"].strip():
            yield Heard(text=word["text"], start=_seconds(word.get("start")), end=_seconds(word.get("end")))


def _seconds(value: Any) -> float | None:
    sound = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6
    return float(value) if sound else None
