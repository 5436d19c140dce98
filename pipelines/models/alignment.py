"""When the words of a song are heard: by forced alignment of its lyrics, by transcription, or by even shares."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.context import Context, ModelCall
from pipelines.media.captions.files import Wording
from pipelines.media.captions.matching import Times, coverage, match
from pipelines.media.captions.timing import text_of
from pipelines.media.captions.words import words_of
from pipelines.media.inspect.probing import seconds_of
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
from schemas.lyrics import AlignmentMode
from schemas.media import InputFile
from schemas.reel import Reel
from schemas.words import Source, parse_aligned_words

ALIGNER = "forced-alignment"
TRANSCRIBER = "scribe"
#: The job type that both are for.
CAPTIONS = "audio-to-captions"
#: Share of the words that must have been found for an alignment to count.
_ENOUGH = 0.5
_KEY_REQUIRED = "ElevenLabs API key is required"
#: What another model of the same account would fail of as well, or what must not be tried again.
_FINAL = (BudgetExceeded, ProviderOutcomeUnknown, ProviderUnauthorized, QuotaExhausted)
_HEADING = re.compile(r"\s*[\[(][^\])]*[\])]\s*")


@dataclass(frozen=True, slots=True)
class Timing:
    """The words to be shown, and when they are heard."""

    lyrics: str
    source: Source = "even"
    #: One for each word of ``lyrics``; ``None``: each gets the same share.
    times: tuple[Times | None, ...] | None = None


def align(mode: AlignmentMode, lyrics: str, language: str | None, audio: InputFile, ctx: Context) -> Timing:
    """The timing in ``mode``; which way it was found, and why, goes into the manifest.

    Raises:
        ProviderError: ElevenLabs did not deliver, and ``mode`` allows no other way.
    """
    if mode == "even":
        return Timing(lyrics)
    seconds = audio.seconds or seconds_of(audio, ctx.bounds)
    why: list[str] = []
    timing = None
    try:
        if mode == "auto" and lyrics.strip():
            timing = _aligned(lyrics, audio, seconds, ctx, why)
        if timing is None:
            timing = _transcribed(language, audio, seconds, ctx, why)
    except ProviderNotConfigured as error:
        if mode == "elevenlabs" or not lyrics.strip():
            raise ProviderNotConfigured(_KEY_REQUIRED, step=error.step) from None
        why.append("no ElevenLabs API key is configured")
    if timing is None:
        if mode == "elevenlabs" or not lyrics.strip():
            raise ProviderResultInvalid(
                "no words were heard in the audio; give lyrics and use alignment_mode even", step="transcribe"
            )
        timing = Timing(lyrics)
    ctx.annotate(alignment={"mode": mode, "used": timing.source} | ({"why": "; ".join(why)} if why else {}))
    return timing


def _aligned(lyrics: str, audio: InputFile, seconds: float, ctx: Context, why: list[str]) -> Timing | None:
    """The lyrics with the times that an aligner found; ``None`` with the reason in ``why``."""
    try:
        call = ModelCall([ALIGNER], {"text": _sung(lyrics)}, {"audio": audio}, as_type=CAPTIONS, seconds=seconds)
        made = ctx.call("align", call)
    except (ProviderNotConfigured, *_FINAL):
        raise
    except (ProviderError, RetriesExhausted, InvalidField) as error:
        why.append(f"forced alignment failed: {error.message}")
        return None
    heard = parse_aligned_words(made.value)
    sung = words_of(_sung(lyrics))
    found = coverage(sung, match(sung, heard))
    if found < _ENOUGH:
        why.append(f"forced alignment found {found:.0%} of the words")
        return None
    return Timing(lyrics, "forced_alignment", tuple(match(words_of(lyrics), heard)))


def _transcribed(language: str | None, audio: InputFile, seconds: float, ctx: Context, why: list[str]) -> Timing | None:
    """What was heard, with its times; ``None`` with the reason in ``why`` where that is nothing."""
    # BCP 47 tags begin with the code of ISO 639.
    parameters = {} if language is None else {"language_code": re.split("[-_]", language)[0].lower()}
    call = ModelCall([TRANSCRIBER], parameters, {"audio": audio}, as_type=CAPTIONS, seconds=seconds)
    made = ctx.call("transcribe", call)
    heard = parse_aligned_words(made.value)
    lyrics = text_of(heard)
    words = words_of(lyrics)
    if not words:
        why.append("the transcription holds no words")
        return None
    return Timing(lyrics, "transcription", tuple(match(words, heard)))


def _sung(lyrics: str) -> str:
    """The lyrics without lines that are headings, such as ``[Chorus]``; all of them where nothing else is left."""
    lines = [line for line in lyrics.split("\n") if line.strip() and not _HEADING.fullmatch(line)]
    return "\n".join(lines) or lyrics


def wording_of(data: Reel | AudioToCaptions, timing: Timing, *, debug: bool = False) -> Wording:
    """What the child process has to know of the captions."""
    return Wording(
        lyrics=timing.lyrics,
        language=data.language,
        words_per_group=data.words_per_group,
        timing_offset=data.timing_offset,
        min_duration=data.min_duration,
        debug=debug,
        source=timing.source,
        times=timing.times,
    )
