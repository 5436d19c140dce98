"""Words with their times: the response of an aligner, and ``words.json``.

These are plain dataclasses because the child process that writes them decodes untrusted media and must import little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

#: How the times of the words were determined. ``given``: by the file that the request names in ``timing``.
Source = Literal["forced_alignment", "transcription", "even", "given"]
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
    #: True if the times were recognised in the audio or given; otherwise they are interpolated between neighbours.
    heard: bool
    #: True for the first word of each line but the first one.
    starts_line: bool = False
    #: The characters between the word and the one before it in its line. ``None``: a space.
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WordTimes:
    """Content of ``words.json``: all words in order."""

    version: int = WORDS_VERSION
    source: Source
    language: str | None = None
    duration_seconds: float
    words: list[TimedWord]


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
