"""The caption files: ``captions.srt`` (SubRip), ``captions.vtt`` (WebVTT) and ``words.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.media.captions.line_files import line_words, write_line_files
from pipelines.media.captions.matching import Times
from pipelines.media.captions.placement import Caption, place, spread_evenly
from pipelines.media.captions.timing import fill, spans_of
from pipelines.media.captions.word_groups import Group, group_words, words_of
from pipelines.media.inspect.sound import measure
from schemas.errors import LyricsRequired
from schemas.words import LineTimes, Source, TimedWord, WordTimes

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
    #: How the lines got their times, with ``local_alignment``.
    lines: tuple[LineTimes, ...] | None = None

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> CaptionSpec:
        """Return the record that ``as_json`` wrote."""
        times = record["times"]
        known = None if times is None else tuple(None if time is None else Times(*time) for time in times)
        lines = record["lines"] and tuple(LineTimes(**line) for line in record["lines"])
        return cls(**{**record, "times": known, "lines": lines})

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON for the child process."""
        times = None if self.times is None else [time and [time.start, time.end, time.heard] for time in self.times]
        lines = self.lines and [asdict(line) for line in self.lines]
        return {name: getattr(self, name) for name in self.__slots__} | {"times": times, "lines": lines}


def groups_of(spec: CaptionSpec) -> list[Group]:
    """Return the groups of words that are one caption each."""
    return group_words(spec.lyrics, spec.words_per_group, balanced=spec.source != "even")


def captions_for(
    spec: CaptionSpec, seconds: float, fps: int, frames: int, start: float = 0.0
) -> tuple[list[Caption], list[TimedWord]]:
    """Return the captions of a video of ``frames`` frames, and every word with its times in seconds.

    The words are sung in a song of ``seconds``, of which the video shows what follows ``start``. Captions outside of
    the video are left out.

    Raises:
        LyricsRequired: The lyrics contain no words.
        LyricsTooLong: A caption would be visible for less than one frame.
    """
    groups = groups_of(spec)
    if not groups:
        raise LyricsRequired("the lyrics contain no words", field="data.lyrics")
    timed = timed_words(spec, seconds)
    captions = place(
        spread_evenly(groups, seconds) if spec.times is None else spans_of(groups, timed, seconds),
        duration=seconds,
        fps=fps,
        frames=frames,
        offset=spec.timing_offset - start,
        min_duration=spec.min_duration,
        debug=spec.debug,
    )
    return captions, timed


def timed_words(spec: CaptionSpec, seconds: float) -> list[TimedWord]:
    """Return every word with its times, rounded to milliseconds as in ``words.json``.

    So the captions of a ``words.json`` that is given as ``timing`` begin at the same frames as before.
    """
    words = words_of(spec.lyrics)
    timed = fill(words, spec.times or (None,) * len(words), seconds)
    recognized = spec.source != "spread"
    return [TimedWord(word.text, round(word.start, 3), round(word.end, 3), word.heard and recognized) for word in timed]


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


def write_words(
    folder: Path, spec: CaptionSpec, words: Sequence[TimedWord], seconds: float, start: float = 0.0
) -> None:
    """Write ``words.json``: times in seconds from ``start``, rounded to milliseconds; words outside are left out."""
    times = WordTimes(source=spec.source, language=spec.language, duration_seconds=round(seconds, 3), words=[])
    record = asdict(times) | {"words": _within(_word_records(spec.lyrics, words), start, seconds)}
    if spec.lines is None:
        del record["lines"]
    else:
        record["lines"] = [asdict(line) for line in spec.lines]
    text = json.dumps(record, ensure_ascii=False, indent=1)
    (folder / "words.json").write_text(text + "\n", encoding="utf-8", newline="\n")


def _word_records(lyrics: str, words: Sequence[TimedWord]) -> list[dict[str, Any]]:
    records = []
    for number, line in enumerate(line_words(lyrics, words)):
        for index, (before, word) in enumerate(line):
            record: dict[str, Any] = {"text": word.text, "start": word.start, "end": word.end, "heard": word.heard}
            if index == 0 and number > 0:
                record["starts_line"] = True
            if index > 0 and before != " ":
                record["before"] = before
            records.append(record)
    return records


def _within(records: list[dict[str, Any]], start: float, seconds: float) -> list[dict[str, Any]]:
    """Return the words that are sung in the ``seconds`` behind ``start``, with times from there."""
    end = start + seconds
    if start == 0 and all(record["end"] <= end for record in records):
        return records
    return [
        record
        | {"start": round(max(record["start"] - start, 0.0), 3), "end": round(min(record["end"], end) - start, 3)}
        for record in records
        if record["end"] > start and record["start"] < end
    ]


def write_captions(arguments: dict[str, Any]) -> dict[str, Any]:
    """Measure the audio and write the files of its captions. Runs in the child process.

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
    write_line_files(folder, spec.lyrics, words, seconds=seconds, offset=spec.timing_offset)
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
