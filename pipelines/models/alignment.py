"""The times of the words: by forced alignment, transcription, local alignment, or spread over the voice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pipelines.context import Context, ModelCall
from pipelines.media.captions.files import CaptionSpec
from pipelines.media.captions.matching import Times, coverage, match
from pipelines.media.captions.timing import sung_lines, text_of
from pipelines.media.captions.word_groups import words_of
from pipelines.media.inspect.in_child import seconds_of, spread_in_child
from pipelines.models.local_alignment import align_on_worker
from schemas.audio_to_captions import AudioToCaptions
from schemas.errors import (
    BudgetExceeded,
    InvalidField,
    ProviderError,
    ProviderNotConfigured,
    ProviderOutcomeUnknown,
    ProviderResultInvalid,
    ProviderUnauthorized,
    QuotaExhausted,
    RetriesExhausted,
)
from schemas.lyrics import AlignmentMode, local_alignment_installed
from schemas.media import InputFile
from schemas.reel import Reel
from schemas.words import LineTimes, Source, parse_aligned_words

ALIGNER = "forced-alignment"
TRANSCRIBER = "scribe"
#: The job type that both models are listed under.
CAPTIONS = "audio-to-captions"
#: The share of the words that an alignment must find to be used.
_ENOUGH = 0.5
#: The least share of the words in the lines that are used.
_LEAST_USED = 1 / 3
_KEY_REQUIRED = "ElevenLabs API key is required"
#: Errors that another model of the same account would meet too, or after which no second call may be made.
_FINAL = (BudgetExceeded, ProviderOutcomeUnknown, ProviderUnauthorized, QuotaExhausted)
_HEADING = re.compile(r"\s*[\[(][^\])]*[\])]\s*")


@dataclass(frozen=True, slots=True)
class Timing:
    """The words that the captions show, and their times."""

    lyrics: str
    source: Source = "even"
    #: One per word of ``lyrics``. ``None``: every word gets an equal share of the time.
    times: tuple[Times | None, ...] | None = None
    #: How the lines got their times, with ``local_alignment``.
    lines: tuple[LineTimes, ...] | None = None


def align(mode: AlignmentMode, lyrics: str, language: str | None, audio: InputFile, ctx: Context) -> Timing:
    """Time the words as ``mode`` says. The method that was used, and why, is added to the manifest.

    Raises:
        ProviderError: ElevenLabs returned no result, and ``mode`` has no fallback.
        InputError: The audio cannot be decoded.
    """
    if mode == "even":
        return Timing(lyrics)
    has_fallback = mode != "elevenlabs" and bool(lyrics.strip())
    why: list[str] = []
    details: dict[str, Any] = {}
    timing = None
    if mode != "local":
        timing = _align_remotely(mode, lyrics, language, audio, ctx, why, details)
    if timing is None and not has_fallback:
        raise ProviderResultInvalid(
            "no words were recognized in the audio; send lyrics and use alignment_mode even", step="transcribe"
        )
    if timing is None and (mode == "local" or local_alignment_installed()):
        timing, details = _align_locally(mode, lyrics, language, audio, ctx, why)
    timing = timing or _spread(lyrics, audio, ctx)
    reasons = {"why": "; ".join(why)} if why else {}
    ctx.annotate(alignment={"mode": mode, "used": timing.source} | reasons | details)
    return timing


def planned_timing(mode: AlignmentMode, lyrics: str, audio: InputFile, ctx: Context) -> Timing:
    """Return the words and times that captions are counted with before they are aligned; no model is called.

    The captions have the same words as those of ``local``, and of ``auto`` without a provider. Without lyrics there are
    none.
    """
    return Timing(lyrics) if mode == "even" or not lyrics.strip() else _spread(lyrics, audio, ctx)


def untimed(mode: AlignmentMode, lyrics: str) -> Timing:
    """Return the words of the captions in equal shares of the time, without reading the audio."""
    if mode == "even":
        return Timing(lyrics)
    return Timing(_without_headings(lyrics), "spread")


def _align_remotely(
    mode: AlignmentMode,
    lyrics: str,
    language: str | None,
    audio: InputFile,
    ctx: Context,
    why: list[str],
    details: dict[str, Any],
) -> Timing | None:
    """Return the words with the times of ElevenLabs, or ``None``; then the reason is appended to ``why``."""
    has_fallback = mode == "auto" and bool(lyrics.strip())
    seconds = audio.seconds or seconds_of(audio, ctx.bounds)
    timing = None
    try:
        if has_fallback:
            timing = _align_lyrics(lyrics, audio, seconds, ctx, why, details)
        return timing or _transcribe(language, audio, seconds, ctx, why, optional=has_fallback)
    except ProviderNotConfigured as error:
        if not has_fallback:
            raise ProviderNotConfigured(_KEY_REQUIRED, step=error.step) from None
        why.append("no ElevenLabs API key is configured")
    except ProviderOutcomeUnknown as error:
        if not has_fallback:
            raise
        why.append(
            f"the answer of the {error.step or 'align'} call was lost, and the call was given up; it may be charged"
        )
    return None


def _align_locally(
    mode: AlignmentMode, lyrics: str, language: str | None, audio: InputFile, ctx: Context, why: list[str]
) -> tuple[Timing | None, dict[str, Any]]:
    """Return the lyrics with the times of this worker's aligner, or ``None``, and what the manifest says about it."""
    text = _without_headings(lyrics)
    found = align_on_worker(text, language, audio, ctx, required=mode == "local")
    details: dict[str, Any] = {"voice": found.voice, "confidence": found.confidence}
    if found.separated:
        details["separated"] = True
    if found.times is None:
        why.append(f"local alignment: {found.why}")
        return None, details
    details |= {"lines": len(found.lines), "lines_unsure": sum(line.way == "spread" for line in found.lines)}
    times = tuple(None if span is None else Times(*span) for span in found.times)
    return Timing(text, "local_alignment", times, found.lines), details


def _spread(lyrics: str, audio: InputFile, ctx: Context) -> Timing:
    """Return the lyrics spread over the moments with a voice. A heading ends a stanza, like an empty line."""
    text = _without_headings(lyrics)
    if text != lyrics:
        lyrics = "\n".join("" if _HEADING.fullmatch(line) else line for line in lyrics.split("\n"))
    seconds = audio.seconds or seconds_of(audio, ctx.bounds)
    spans = spread_in_child(lyrics if lyrics.strip() else text, audio, seconds, ctx.bounds)
    return Timing(text, "spread", tuple(Times(start, end) for start, end in spans))


def _align_lyrics(
    lyrics: str, audio: InputFile, seconds: float, ctx: Context, why: list[str], details: dict[str, Any]
) -> Timing | None:
    """Return the lyrics with the times of an aligner, or ``None``; then the reason is appended to ``why``.

    The numbers of lines that were not found and that are left out are added to ``details``.
    """
    text = _without_headings(lyrics)
    call = ModelCall([ALIGNER], {"text": text}, {"audio": audio}, as_type=CAPTIONS, seconds=seconds, optional=True)
    try:
        result = ctx.call("align", call)
    except (ProviderNotConfigured, *_FINAL):
        raise
    except (ProviderError, RetriesExhausted, InvalidField) as error:
        why.append(f"forced alignment failed: {error.message}")
        return None
    aligned = parse_aligned_words(result.value)
    count = max(1, len(words_of(text)))
    sung = sung_lines(text, aligned, seconds)
    found = coverage(words_of(sung.lyrics), sung.times)
    if found < _ENOUGH or len(sung.times) < _LEAST_USED * count:
        why.append(f"forced alignment found {found * len(sung.times) / count:.0%} of the words")
        return None
    if sung.not_found:
        details |= {"lines_not_found": sung.not_found, "lines_left_out": sung.left_out}
    return Timing(sung.lyrics, "forced_alignment", sung.times)


def _transcribe(
    language: str | None, audio: InputFile, seconds: float, ctx: Context, why: list[str], *, optional: bool
) -> Timing | None:
    """Return the transcription with its times, or ``None`` if it is empty; then the reason is appended to ``why``."""
    # A BCP 47 tag begins with the ISO 639 code.
    parameters = {} if language is None else {"language_code": re.split("[-_]", language)[0].lower()}
    call = ModelCall([TRANSCRIBER], parameters, {"audio": audio}, as_type=CAPTIONS, seconds=seconds, optional=optional)
    result = ctx.call("transcribe", call)
    aligned = parse_aligned_words(result.value)
    lyrics = text_of(aligned)
    words = words_of(lyrics)
    if not words:
        why.append("the transcription contains no words")
        return None
    return Timing(lyrics, "transcription", tuple(match(words, aligned)))


def _without_headings(lyrics: str) -> str:
    """Return the lyrics without headings such as ``[Chorus]``; all lines if there are only headings."""
    lines = [line for line in lyrics.split("\n") if line.strip() and not _HEADING.fullmatch(line)]
    return "\n".join(lines) or lyrics


def caption_spec(data: Reel | AudioToCaptions, timing: Timing, *, debug: bool = False) -> CaptionSpec:
    """Return what the child process needs for the captions."""
    return CaptionSpec(
        lyrics=timing.lyrics,
        language=data.language,
        words_per_group=data.words_per_group,
        timing_offset=data.timing_offset,
        min_duration=data.min_duration,
        debug=debug,
        source=timing.source,
        times=timing.times,
        lines=timing.lines,
    )
