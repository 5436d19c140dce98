"""The caption files: ``captions.srt`` (SubRip), ``captions.vtt`` (WebVTT) and ``words.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.media.captions.matching import Times
from pipelines.media.captions.placement import Caption, place, spread_evenly
from pipelines.media.captions.timing import fill, spans_of
from pipelines.media.captions.word_groups import group_words, words_of
from pipelines.media.inspect.sound import measure
from schemas.errors import LyricsRequired
from schemas.words import Source, TimedWord, WordTimes

#: Frames per second where there is no video: the files have a resolution of one millisecond.
_FPS_WITHOUT_VIDEO = 1000


@dataclass(frozen=True, slots=True)
class CaptionSpec:
    """The text of the captions and how they are timed."""

    lyrics: str
    language: str | None
    words_per_group: int
    #: Shift of all captions, and the shortest time that one is visible, in seconds.
    timing_offset: float
    min_duration: float
    #: Whether captions begin with their start time.
    debug: bool
    source: Source
    #: One entry per word of the lyrics, ``None`` for a word without known times. ``None``: equal shares for all words.
    times: tuple[Times | None, ...] | None

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> CaptionSpec:
        """Return the record that ``as_json`` wrote."""
        times = record["times"]
        known = None if times is None else tuple(None if time is None else Times(*time) for time in times)
        return cls(**{**record, "times": known})

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON for the child process."""
        times = None if self.times is None else [time and [time.start, time.end] for time in self.times]
        return {name: getattr(self, name) for name in self.__slots__} | {"times": times}


def captions_for(
    spec: CaptionSpec, seconds: float, fps: int, frames: int, start: float = 0.0
) -> tuple[list[Caption], list[TimedWord]]:
    """Return the captions of a video of ``frames`` frames, and every word with its times in seconds.

    The words are sung in a song of ``seconds``, of which the video shows what follows ``start``. Captions and words
    outside of the video are left out.

    Raises:
        LyricsRequired: The lyrics contain no words.
        LyricsTooLong: A caption would be visible for less than one frame.
    """
    groups = group_words(spec.lyrics, spec.words_per_group)
    if not groups:
        raise LyricsRequired("the lyrics contain no words", field="data.lyrics")
    words = words_of(spec.lyrics)
    timed = fill(words, spec.times or (None,) * len(words), seconds)
    captions = place(
        spread_evenly(groups, seconds) if spec.times is None else spans_of(groups, timed, seconds),
        duration=seconds,
        fps=fps,
        frames=frames,
        offset=spec.timing_offset - start,
        min_duration=spec.min_duration,
        debug=spec.debug,
    )
    if start == 0 and frames >= round(seconds * fps):
        return captions, timed
    end = start + frames / fps
    within = [word for word in timed if word.end > start and word.start < end]
    return captions, [
        replace(word, start=max(word.start - start, 0.0), end=min(word.end, end) - start) for word in within
    ]


def offset_warnings(lyrics: str, words_per_group: int, timing_offset: float, shown: int) -> list[str]:
    """Return a warning if ``timing_offset`` leaves fewer captions to show than the lyrics have."""
    captions = len(group_words(lyrics, words_per_group))
    if not timing_offset or shown >= captions:
        return []
    lost = "all" if shown == 0 else f"{captions - shown:,} of {captions:,}"
    return [f"timing_offset {timing_offset:g} moves {lost} captions out of the audio; they are not shown"]


def write_subtitles(folder: Path, captions: Sequence[Caption], fps: int) -> None:
    """Write ``captions.srt`` and ``captions.vtt``."""
    (folder / "captions.srt").write_text(format_srt(captions, fps), encoding="utf-8", newline="\n")
    (folder / "captions.vtt").write_text(format_vtt(captions, fps), encoding="utf-8", newline="\n")


def write_words(folder: Path, spec: CaptionSpec, words: Sequence[TimedWord], seconds: float) -> None:
    """Write ``words.json``: times in seconds, rounded to milliseconds."""
    times = WordTimes(
        source=spec.source,
        language=spec.language,
        duration_seconds=round(seconds, 3),
        words=[replace(word, start=round(word.start, 3), end=round(word.end, 3)) for word in words],
    )
    text = json.dumps(asdict(times), ensure_ascii=False, indent=1)
    (folder / "words.json").write_text(text + "\n", encoding="utf-8", newline="\n")


def write_captions(arguments: dict[str, Any]) -> dict[str, Any]:
    """Measure the audio and write the three files of its captions. Runs in the child process.

    Raises:
        InvalidAudio: The audio cannot be decoded to its end.
        LyricsRequired: The lyrics contain no words.
        LyricsTooLong: There are too many captions for the length of the audio.
    """
    spec = CaptionSpec.from_json(arguments["caption_spec"])
    seconds = measure(Path(arguments["audio"]), arguments["audio_kind"]).seconds
    captions, words = captions_for(spec, seconds, _FPS_WITHOUT_VIDEO, max(1, round(seconds * _FPS_WITHOUT_VIDEO)))
    folder = Path(arguments["folder"])
    write_subtitles(folder, captions, _FPS_WITHOUT_VIDEO)
    write_words(folder, spec, words, seconds)
    warnings = offset_warnings(spec.lyrics, spec.words_per_group, spec.timing_offset, len(captions))
    return {"duration_seconds": seconds, "captions": len(captions), "warnings": warnings}


def format_srt(captions: Sequence[Caption], fps: int) -> str:
    """Return a SubRip file. Text is not escaped: SubRip has no escapes, and captions contain no line breaks."""
    blocks = (
        f"{number}\n{_timestamp(caption.first, fps, ',')} --> {_timestamp(caption.end, fps, ',')}\n{caption.text}\n"
        for number, caption in enumerate(captions, 1)
    )
    return "\n".join(blocks)


def format_vtt(captions: Sequence[Caption], fps: int) -> str:
    """Return a WebVTT file. Escape ``&``, ``<`` and ``>`` as cue text requires; that also prevents ``-->``."""
    blocks = (
        f"{_timestamp(caption.first, fps, '.')} --> {_timestamp(caption.end, fps, '.')}\n{_escape(caption.text)}\n"
        for caption in captions
    )
    return "\n".join(("WEBVTT\n", *blocks))


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _timestamp(frame: int, fps: int, separator: str) -> str:
    """Return the time at which ``frame`` begins, as ``HH:MM:SS,mmm`` rounded to milliseconds."""
    milliseconds = (frame * 2000 + fps) // (fps * 2)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{milliseconds:03}"
