"""Words with their times: the response of an aligner, and ``words.json``.

These are plain dataclasses because the child process that writes them decodes untrusted media and must import little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

#: How the times of the words were determined.
#: ``forced_alignment`` and ``transcription`` are ElevenLabs', ``local_alignment`` is the extra ``align``.
Source = Literal["forced_alignment", "local_alignment", "transcription", "even"]
WORDS_VERSION = 1


@dataclass(frozen=True, slots=True)
class AlignedWord:
    """One word as a provider recognised it; times are ``None`` if the provider gave none."""

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
    #: True if the times were recognised in the audio; otherwise they are interpolated between neighbours.
    heard: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTimes:
    """How one line of the lyrics got its times, with ``local_alignment``."""

    #: Index of its first word, and the number of words.
    first: int
    count: int
    #: From 0 to 1. Lines from 0.5 are sure, and lines from 0.2 between two of those.
    confidence: float
    #: ``aligned``: its words have times of their own. ``spread``: they share the time between their neighbours.
    way: Literal["aligned", "spread"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WordTimes:
    """Content of ``words.json``: all words in order."""

    version: int = WORDS_VERSION
    source: Source
    language: str | None = None
    duration_seconds: float
    words: list[TimedWord]
    #: Only with ``local_alignment``.
    lines: list[LineTimes] | None = None


def parse_aligned_words(value: Any) -> list[AlignedWord]:
    """Parse an aligner's response, ``{"words": [{"text", "start", "end"}]}``; skip entries that are not words."""
    words = value.get("words") if isinstance(value, Mapping) else None
    return list(_read(words)) if isinstance(words, list) else []


def _read(words: Iterable[Any]) -> Iterable[AlignedWord]:
    for word in words:
        if isinstance(word, Mapping) and isinstance(word.get("text"), str) and word["text"].strip():
            yield AlignedWord(text=word["text"], start=_seconds(word.get("start")), end=_seconds(word.get("end")))


def _seconds(value: Any) -> float | None:
    sound = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6
    return float(value) if sound else None
