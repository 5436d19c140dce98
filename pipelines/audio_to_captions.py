"""``audio-to-captions``: captions for a song or a talk, with the times of the words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.context import Context, Progress
from pipelines.media.captions.word_groups import group_words
from pipelines.media.inspect.in_child import seconds_of
from pipelines.media.inspect.sniff import SOUND_KINDS
from pipelines.media.inspect.sound_headers import MAX_AUDIO_BYTES
from pipelines.media.sandbox.process import Task, run_child
from pipelines.models.alignment import Timing, align, caption_spec, untimed
from pipelines.models.estimates import alignment_estimate
from pipelines.models.given_timing import given_timing
from pipelines.models.local_reel import line_files
from schemas.audio_to_captions import AudioToCaptions
from schemas.media import InputFile, LocalFile, MediaFacts, Plan, StoredArtifact


def audio_to_captions(data: AudioToCaptions, ctx: Context) -> Sequence[StoredArtifact]:
    """Make ``captions.srt``, ``captions.vtt``, ``captions.lrc``, ``captions.ass`` and ``words.json``."""
    audio = _fetch(data, ctx)
    timing = given_timing(data, audio, ctx) or align(data.alignment_mode, data.lyrics, data.language, audio, ctx)

    def write(folder: Path, progress: Progress) -> Sequence[LocalFile]:
        return _write(data, audio, timing, folder, progress, ctx)

    files = ctx.step("write", write)
    ctx.annotate(**files[0].details)
    return files


def plan(data: AudioToCaptions, ctx: Context) -> Plan:
    """Return the plan of an ``audio-to-captions`` job. The audio is fetched and measured."""
    audio = _fetch(data, ctx)
    seconds = seconds_of(audio, ctx.bounds)
    given = given_timing(data, audio.model_copy(update={"seconds": seconds}), ctx)
    alignment = alignment_estimate("even" if given else data.alignment_mode, data.lyrics, seconds, ctx.catalogue)
    timing = given or untimed(data.alignment_mode, data.lyrics)
    captions = len(group_words(timing.lyrics, data.words_per_group, balanced=timing.source != "even"))
    return Plan(
        duration_seconds=seconds,
        estimated_seconds=1.0 + alignment.seconds,
        cost=alignment.cost,
        details={"captions": captions} if captions else {},
    )


def _fetch(data: AudioToCaptions, ctx: Context) -> InputFile:
    return ctx.input("audio", data.audio, kinds=SOUND_KINDS, limit_bytes=MAX_AUDIO_BYTES)


def _write(
    data: AudioToCaptions, audio: InputFile, timing: Timing, folder: Path, progress: Progress, ctx: Context
) -> Sequence[LocalFile]:
    arguments = {
        "audio": str(audio.path.resolve()),
        "audio_kind": audio.kind,
        "folder": str(folder.resolve()),
        "caption_spec": caption_spec(data, timing).as_json(),
    }
    measured = run_child(Task.CAPTIONS, arguments, folder, ctx.bounds, progress)
    facts = MediaFacts(duration_seconds=measured["duration_seconds"])
    return [
        LocalFile(
            name="captions.srt",
            content_type="application/x-subrip",
            facts=facts,
            path=folder / "captions.srt",
            details={"warnings": measured["warnings"]} if measured["warnings"] else {},
        ),
        LocalFile(name="captions.vtt", content_type="text/vtt", facts=facts, path=folder / "captions.vtt"),
        *line_files(folder, facts),
        LocalFile(name="words.json", content_type="application/json", path=folder / "words.json"),
    ]
