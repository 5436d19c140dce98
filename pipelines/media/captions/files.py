"""Captions and the files that hold them: ``captions.srt``, ``captions.vtt`` and ``words.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.media.captions.matching import Times
from pipelines.media.captions.placement import Caption, place, spread_evenly
from pipelines.media.captions.subtitles import write_srt, write_vtt
from pipelines.media.captions.timing import Placed, fill, spans_of
from pipelines.media.captions.words import group_words, words_of
from pipelines.media.inspect.sound import measure
from schemas.errors import LyricsRequired
from schemas.words import Source, TimedWord, WordTimes

#: Frames per second if there is no picture: milliseconds, the resolution of the files.
_FPS = 1000


@dataclass(frozen=True, slots=True)
class CaptionSpec:
    """The text of the captions and how they are timed."""

    lyrics: str
    language: str | None
    words_per_group: int
    timing_offset: float
    min_duration: float
    debug: bool
    source: Source
    #: One for each word of the lyrics; ``None``: all words get the same share.
    times: tuple[Times | None, ...] | None

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> CaptionSpec:
        times = record["times"]
        known = None if times is None else tuple(None if time is None else Times(*time) for time in times)
        return cls(**{**record, "times": known})

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON for the child process."""
        times = None if self.times is None else [time and [time.start, time.end] for time in self.times]
        return {name: getattr(self, name) for name in self.__slots__} | {"times": times}


def captions_for(wording: CaptionSpec, seconds: float, fps: int, frames: int) -> tuple[list[Caption], list[Placed]]:
    """Return the captions of a video of ``frames`` frames, and every word with its seconds.

    Raises:
        LyricsRequired: there are no words.
        LyricsTooLong: a caption would be visible for less than one frame.
    """
    groups = group_words(wording.lyrics, wording.words_per_group)
    if not groups:
        raise LyricsRequired("the lyrics hold no words", field="data.lyrics")
    words = words_of(wording.lyrics)
    placed = fill(words, wording.times or (None,) * len(words), seconds)
    captions = place(
        spread_evenly(groups, seconds) if wording.times is None else spans_of(groups, placed, seconds),
        duration=seconds,
        fps=fps,
        frames=frames,
        offset=wording.timing_offset,
        min_duration=wording.min_duration,
        debug=wording.debug,
    )
    return captions, placed


def write_subtitles(folder: Path, captions: Sequence[Caption], fps: int) -> None:
    """Write ``captions.srt`` and ``captions.vtt``."""
    (folder / "captions.srt").write_text(write_srt(captions, fps), encoding="utf-8", newline="\n")
    (folder / "captions.vtt").write_text(write_vtt(captions, fps), encoding="utf-8", newline="\n")


def write_words(folder: Path, wording: CaptionSpec, words: Sequence[Placed], seconds: float) -> None:
    """Write ``words.json``."""
    times = WordTimes(
        source=wording.source,
        language=wording.language,
        duration_seconds=round(seconds, 3),
        words=[
            TimedWord(text=word.text, start=round(word.start, 3), end=round(word.end, 3), heard=word.heard)
            for word in words
        ],
    )
    text = json.dumps(asdict(times), ensure_ascii=False, indent=1)
    (folder / "words.json").write_text(text + "\n", encoding="utf-8", newline="\n")


def write_captions(task: dict[str, Any]) -> dict[str, Any]:
    """Measure the audio and write the files of its captions. Runs in the child process.

    Raises:
        InvalidAudio: the audio cannot be decoded to its end.
        LyricsTooLong: there are too many captions for its length.
    """
    wording = CaptionSpec.from_json(task["wording"])
    seconds = measure(Path(task["audio"]), task["audio_kind"]).seconds
    captions, words = captions_for(wording, seconds, _FPS, max(1, round(seconds * _FPS)))
    folder = Path(task["folder"])
    write_subtitles(folder, captions, _FPS)
    write_words(folder, wording, words, seconds)
    return {"duration_seconds": seconds, "captions": len(captions)}
