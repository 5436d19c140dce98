"""Words with their times: the response of an aligner, and ``words.json``.

These are plain dataclasses because the child process that writes them decodes untrusted media and must import little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

#: How the times of the words were determined. ``forced_alignment`` and ``transcription`` are ElevenLabs',
#: ``local_alignment`` is the extra ``align``; ``spread``: by where the audio may have a voice, and by their lengths;
#: ``given``: by the file that the request names in ``timing``.
Source = Literal["forced_alignment", "local_alignment", "transcription", "spread", "even", "given"]
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


@dataclass(frozen=True, slots=True)
class LineTimes:
    """How one line of the lyrics got its times, with ``local_alignment``."""

    #: Index of its first word, and the number of words.
    first: int
    count: int
    #: From 0 to 1. Which lines are sure depends on the others, too.
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


@dataclass(frozen=True, slots=True)
class AlignedLyrics:
    """What a local aligner found."""

    #: Start and end of each word in seconds, ``None`` for a word of a line that is not sure.
    #: ``None`` instead of all: the lyrics do not fit the audio.
    times: tuple[tuple[float, float] | None, ...] | None
    #: One entry per line.
    lines: tuple[LineTimes, ...] = ()
    #: How sure the whole text is, from 0 to 1, and the voice or language that it was read in.
    confidence: float = 0.0
    voice: str | None = None
    #: Why there are no times.
    why: str | None = None
    #: Whether the voice was taken out of the music first.
    separated: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON for the parent process, without what an older version would not know."""
        record = asdict(self)
        if not self.separated:
            del record["separated"]
        return record

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> AlignedLyrics:
        """Return the record that ``as_json`` wrote."""
        times = record["times"]
        spans = None if times is None else tuple(None if span is None else (span[0], span[1]) for span in times)
        return cls(**{**record, "times": spans, "lines": tuple(LineTimes(**line) for line in record["lines"])})


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
