"""Parameters of a ``reel``: one image, one song, and its lyrics as captions."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from schemas.caption_style import STYLES, CaptionStyle, FontName, StyleName
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
from schemas.reel_scene import Artist, Corner, Crossfade, Images, Motion, Title, Watermark, Waveform
from schemas.reference import MediaReference


def _channels(value: str | None) -> tuple[int, ...]:
    from PIL import ImageColor  # here, because it is slow to import and most requests name no colour

    return ImageColor.getrgb(value or "black")


def _color(value: str | None) -> str | None:
    try:
        _channels(value)
    except ValueError:
        raise ValueError("use a CSS colour name such as yellow, or #RRGGBB, or #RRGGBBAA with opacity") from None
    return value


def _opaque(value: str | None) -> str | None:
    if len(_channels(_color(value))) > 3:
        raise ValueError("use a colour without opacity; the opacity of the captions is that of font_color")
    return value


def _spoken(value: str) -> str:
    if not any(map(str.isprintable, value.strip())):
        raise ValueError("must be a word or a phrase of the lyrics")
    return value


#: A part of a caption.
Phrase = Annotated[str, Field(max_length=100), AfterValidator(_spoken)]


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even, because H.264 with 4:2:0 sampling has no odd sizes")
    return value


def _defaults(field: str) -> str:
    """Return the value of ``field`` in each style but the first one."""
    return ", ".join(f"{getattr(style, field)} ({name})" for name, style in list(STYLES.items())[1:])


#: Fields that the version before does not know. At their default, they are left out of what is stored and sent, so that
#: its workers and its RunPod endpoint can still read it.
_NEW_FIELDS = (
    "style",
    "font",
    "highlight_color",
    "upper_case",
    "outline",
    "emphasis",
    "emphasis_color",
    "next_line",
    "countdown",
    "progress_line",
    "position",
    "safe_area",
    "fit",
    "start",
    "end",
    "fade",
    "loudness",
    "cover_at",
    "images",
    "crossfade",
    "motion",
    "title",
    "artist",
    "watermark",
    "watermark_position",
    "waveform",
)


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
        description="One caption line per line; a literal backslash-n counts as a line break. Of LRC and "
        "subtitles only the words are used. Optional with auto and elevenlabs, which then show the transcription.",
    )
    timing: Timing = None
    language: Language | None = Field(
        None,
        description="BCP 47 tag such as en, hi, ja. It selects the font for characters that several scripts share.",
    )
    style: StyleName = Field(
        "classic",
        description="How captions look. classic: yellow letters with an outline. bold: large white capitals. "
        "minimal: white letters with a soft shadow. box: white letters on a dark plate, the word that is sung on a "
        "yellow one. karaoke: the word that is sung is yellow, and those to come are grey. "
        "pop: bold, and the word that is sung is larger.",
    )
    font: FontName | None = Field(
        None,
        description="sans: Noto Sans. serif: Source Serif. rounded: Fredoka. condensed: Fjalla. Scripts that a font "
        "does not have are drawn in Noto Sans. Default: as the style, which is sans.",
    )
    font_size: int = Field(
        45,
        ge=8,
        le=400,
        description=f"Em size in pixels at a width of 1080 pixels. Other styles: {_defaults('font_size')}.",
    )
    font_color: Annotated[str, AfterValidator(_color), NOT_TEXT] = Field(
        "yellow",
        max_length=64,
        description="CSS name, #RRGGBB, or #RRGGBBAA: the opacity of the captions. "
        f"Other styles: {_defaults('font_color')}.",
    )
    highlight_color: Annotated[str | None, AfterValidator(_opaque), NOT_TEXT] = Field(
        None,
        max_length=64,
        description="Colour of the word that is sung. Default: as the style; with classic, bold and minimal all words "
        "look alike unless it is given.",
    )
    upper_case: bool | None = Field(None, description="Whether captions are in capital letters. Default: as the style.")
    outline: float | None = Field(
        None,
        ge=0,
        le=0.25,
        allow_inf_nan=False,
        description="Width of the outline around letters, as a share of font_size. Default: as the style.",
    )
    emphasis: Annotated[tuple[Phrase, ...], Field(max_length=100)] = Field(
        (), description="Words and phrases of the captions that have emphasis_color, in capital or small letters."
    )
    emphasis_color: Annotated[str | None, AfterValidator(_opaque), NOT_TEXT] = Field(
        None, max_length=64, description="Colour of the words in emphasis. Default: #5ce1ff."
    )
    next_line: bool = Field(False, description="Whether the next caption is shown below, smaller and dimmed.")
    countdown: bool | None = Field(
        None,
        description="Whether three dots count down to a caption after a break of 5 s or more. "
        "Default: as the style, which is true with karaoke only.",
    )
    progress_line: bool = Field(False, description="Whether a thin line shows how much of the reel is over.")
    position: Literal["auto", "top", "middle", "bottom"] = Field(
        "auto", description="Where captions are. auto: below a picture that is shown whole, otherwise as bottom."
    )
    safe_area: Literal["all", "instagram", "tiktok", "shorts", "none"] = Field(
        "all", description="The platforms whose buttons and texts do not cover the captions of a portrait video."
    )
    fit: Literal["auto", "cover", "contain"] = Field(
        "auto",
        description="cover: the image fills the frame, and is cut. contain: it is shown whole, over a blurred copy. "
        "auto: cover if at most 20 % of the image is cut off.",
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
    images: Images = ()
    crossfade: Crossfade = 1.0
    motion: Motion = "none"
    title: Title = ""
    artist: Artist = ""
    watermark: Watermark = None
    watermark_position: Corner = "bottom-right"
    waveform: Waveform = False

    CHECKED_TOGETHER: ClassVar[frozenset[str]] = frozenset(("alignment_mode", "lyrics", "timing"))

    @model_validator(mode="before")
    @classmethod
    def _with_defaults_of_style(cls, data: Any) -> Any:
        style = data.get("style") if isinstance(data, dict) else None
        if not isinstance(style, str) or style not in STYLES:
            return data
        defaults = {name: getattr(STYLES[style], name) for name in ("font_size", "font_color")}
        return data | {name: value for name, value in defaults.items() if data.get(name) in (None, "")}

    @model_serializer(mode="wrap")
    def _readable_by_the_version_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        return {
            name: value
            for name, value in written.items()
            if name not in _NEW_FIELDS or getattr(self, name) != fields[name].default
        }

    @property
    def scene_moves(self) -> bool:
        """Whether every frame is another picture, so that none can be repeated."""
        return self.motion != "none" or self.waveform

    def caption_style(self) -> CaptionStyle:
        """Return the style with the request's own values."""
        own = {field.name: getattr(self, field.name, None) for field in dataclasses.fields(CaptionStyle)}
        return dataclasses.replace(
            STYLES[self.style], **{name: value for name, value in own.items() if value is not None}
        )

    @model_validator(mode="after")
    def _available(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise InvalidField(f"data.end must be more than data.start, which is {self.start:g} s", field="data.end")
        check_alignment_available(self.alignment_mode)
        # The other modes transcribe the audio if there are no lyrics.
        check_lyrics(self.lyrics, required=self.alignment_mode in NEEDS_LYRICS and self.timing is None)
        return self
