"""Lyrics and caption timing: the fields that ``reel`` and ``audio-to-captions`` have in common."""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from schemas.errors import LyricsRequired, LyricsTooLong, UnsupportedOption
from schemas.input_model import NOT_TEXT
from schemas.lyrics_file import check_lines, without_times
from schemas.reference import MediaReference

MAX_LYRICS_WORDS = 20_000

ALIGNMENT_HELP = (
    "How words are timed. auto: ElevenLabs aligns the lyrics with the audio; if that fails, its transcription is used; "
    "without an ElevenLabs key, as local. elevenlabs: always the transcription, even if there are lyrics. "
    "local: the worker aligns the lyrics, which needs the extra align; lines that are not sure are spread between "
    "their neighbours. Lyrics that do not fit the audio are spread over the voice, as in auto without the extra. "
    "even: every word gets an equal share of the time."
)
AlignmentMode = Literal["auto", "elevenlabs", "even", "local"]


def _language(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError:
        raise PydanticCustomError("language", "use a language tag such as en or pt-BR") from None


def _normalized(value: Any) -> Any:
    """Return the lyrics with real line breaks, and without times if they are LRC or subtitles.

    Forms and shells send a backslash and an ``n`` instead of a line break.
    """
    if not isinstance(value, str):
        return value
    return without_times(re.sub(r"\r\n?", "\n", value.replace("\\n", "\n")))


Lyrics = Annotated[str, BeforeValidator(_normalized)]
Language = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$"), WrapValidator(_language), NOT_TEXT
]
WordsPerGroup = Annotated[int, Field(ge=1, le=50, description="Words shown together.")]
TimingOffset = Annotated[
    float, Field(ge=-3600, le=3600, allow_inf_nan=False, description="Seconds added to every caption.")
]
MinDuration = Annotated[
    float,
    Field(
        ge=0,
        le=60,
        allow_inf_nan=False,
        description="Shortest time in seconds that a caption is shown, unless the next one starts earlier.",
    ),
]


TIMING_HELP = (
    "A file with words and times: LRC, also with word times, SubRip, WebVTT, ASS, or words.json of an earlier job, at "
    "most 4 MB. The captions show its words at its times. lyrics and alignment_mode are then not used, and no model is "
    "called."
)
#: Left out of what is stored if it is absent: workers of an older version refuse fields that they do not know.
Timing = Annotated[MediaReference | None, Field(description=TIMING_HELP, exclude_if=lambda value: value is None)]


def check_lyrics(lyrics: str, *, required: bool, field: str = "data.lyrics") -> None:
    """Check that captions can be made from the lyrics, which the request's ``field`` contains.

    Raises:
        LyricsRequired: they are required but contain no visible character.
        LyricsTooLong: there are too many lines or words, or a line is too long.
    """
    if required and not any(map(_is_visible, lyrics)):
        raise LyricsRequired(field=field)
    check_lines(lyrics.split("\n"), field)
    if len(lyrics.replace("\u200b", " ").split()) > MAX_LYRICS_WORDS:
        raise LyricsTooLong(f"lyrics have more than {MAX_LYRICS_WORDS:,} words", field=field)


def _is_visible(character: str) -> bool:
    """Return whether the character is rendered: not white space, a control or a format character."""
    return not character.isspace() and unicodedata.category(character) not in ("Cc", "Cf")


#: What the mode ``local`` needs; the extra ``align`` installs both.
_LOCAL_PACKAGES = ("espeakng_loader", "hama")
#: The modes that time the request's own lyrics, and can do nothing without them.
NEEDS_LYRICS = ("even", "local")


def local_alignment_installed() -> bool:
    """Return whether this installation can align lyrics itself."""
    return all(importlib.util.find_spec(package) is not None for package in _LOCAL_PACKAGES)


def check_alignment_available(mode: AlignmentMode) -> None:
    """Check that this installation has what the alignment mode needs.

    Raises:
        UnsupportedOption: ``mode`` is ``local``, and the extra ``align`` is not installed.
    """
    if mode == "local" and not local_alignment_installed():
        raise UnsupportedOption(
            "alignment_mode 'local' needs the extra align, which is not installed here; "
            "run pip install '.[align]' in the checkout, or use auto, elevenlabs or even",
            field="data.alignment_mode",
        )
