"""Parameters of a ``reel``: one image, one song, and its lyrics as captions."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from PIL import ImageColor
from pydantic import AfterValidator, ConfigDict, Field, model_validator

from schemas.errors import InvalidField
from schemas.input_model import NOT_TEXT, InputModel
from schemas.lyrics import (
    ALIGNMENT_HELP,
    NEEDS_LYRICS,
    AlignmentMode,
    Language,
    Lyrics,
    MinDuration,
    Timing,
    TimingOffset,
    WordsPerGroup,
    check_alignment_available,
    check_lyrics,
)
from schemas.reference import MediaReference


def _color(value: str) -> str:
    try:
        ImageColor.getrgb(value)
    except ValueError:
        raise ValueError("use a CSS colour name such as yellow, or #RRGGBB, or #RRGGBBAA with opacity") from None
    return value


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even, because H.264 with 4:2:0 sampling has no odd sizes")
    return value


class Reel(InputModel):
    """``data`` of a ``reel`` request. Names and defaults are those of the Reel Creator."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image": "s3://inbox/cover.jpg",
                    "audio": "s3://inbox/song.mp3",
                    "lyrics": "First line\nSecond line",
                    "alignment_mode": "even",
                }
            ]
        },
    )

    image: MediaReference = Field(description="JPEG, PNG, WebP, AVIF or HEIC, at most 100 MB.")
    audio: MediaReference = Field(
        description="MP3, WAV, FLAC, M4A, AAC, OGG, Opus or AIFF, at most 100 MB; its length is the reel's."
    )
    start: float = Field(
        0.0,
        ge=0,
        le=14_400,
        allow_inf_nan=False,
        description="Where the reel begins in the song, in seconds. Captions before it are left out.",
    )
    end: float | None = Field(
        None,
        gt=0,
        le=14_400,
        allow_inf_nan=False,
        description="Where the reel ends in the song, in seconds. Captions after it are left out. Default: its end.",
    )
    fade: float = Field(
        0.0,
        ge=0,
        le=30,
        allow_inf_nan=False,
        description="Seconds over which the sound fades out at the end, and fades in if start is more than 0.",
    )
    loudness: float | None = Field(
        None,
        ge=-30,
        le=-12,
        allow_inf_nan=False,
        description="Integrated loudness in LUFS, such as -14, with peaks of at most -1 dBTP. Default: as in the file.",
    )
    lyrics: Lyrics = Field(
        "",
        description="One caption line per line; a literal backslash-n counts as a line break. Of LRC, SubRip and "
        "WebVTT only the words are used. Optional with auto and elevenlabs, which then show the transcription.",
    )
    timing: Timing = None
    language: Language | None = Field(
        None,
        description="BCP 47 tag such as en, hi, ja. It selects the font for characters that several scripts share.",
    )
    font_size: int = Field(45, ge=8, le=400, description="Em size in pixels at a width of 1080 pixels.")
    font_color: Annotated[str, AfterValidator(_color), NOT_TEXT] = Field(
        "yellow", max_length=64, description="CSS name, #RRGGBB, or #RRGGBBAA: the opacity of the captions."
    )
    words_per_group: WordsPerGroup = 3
    timing_offset: TimingOffset = 0.0
    min_duration: MinDuration = 1.0
    alignment_mode: AlignmentMode = Field("auto", description=ALIGNMENT_HELP)
    debug_mode: bool = Field(False, description="Prefix each caption with its start time, as in [2.5s].")
    renderer: Literal["auto", "local", "runpod"] = Field(
        "auto",
        description="Where the reel is rendered. auto: on this worker, or on RunPod if memory here is too small.",
    )
    width: Annotated[int, AfterValidator(_even)] = Field(
        1080, ge=128, le=3840, json_schema_extra={"multipleOf": 2}, description="Pixels, even."
    )
    height: Annotated[int, AfterValidator(_even)] = Field(
        1920, ge=128, le=3840, json_schema_extra={"multipleOf": 2}, description="Pixels, even."
    )

    cover_at: float | None = Field(
        None,
        ge=0,
        le=14_400,
        allow_inf_nan=False,
        description="Seconds from the start of the reel at which cover.jpg is taken. Default: the first caption.",
    )

    CHECKED_TOGETHER: ClassVar[frozenset[str]] = frozenset(("alignment_mode", "lyrics", "timing"))

    @model_validator(mode="after")
    def _available(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise InvalidField(f"data.end must be more than data.start, which is {self.start:g} s", field="data.end")
        check_alignment_available(self.alignment_mode)
        # The other modes transcribe the audio if there are no lyrics.
        check_lyrics(self.lyrics, required=self.alignment_mode in NEEDS_LYRICS and self.timing is None)
        return self
