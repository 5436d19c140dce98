"""The parameters of a ``reel``: one picture, one song, its lyrics as captions."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from PIL import ImageColor
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas.errors import LyricsRequired, LyricsTooLong, UnsupportedOption
from schemas.reference import MediaReference

MAX_LYRICS_LINES = 5_000
MAX_LYRICS_WORDS = 20_000
MAX_LINE_CHARACTERS = 2_000


def _color(value: str) -> str:
    try:
        ImageColor.getrgb(value)
    except ValueError:
        raise ValueError("use a CSS colour name such as yellow, or #RRGGBB") from None
    return value


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even: H.264 in 4:2:0 has no odd sizes")
    return value


class Reel(BaseModel):
    """``data`` of a request of type ``reel``. Names and defaults are those of the Reel Creator."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    image: MediaReference = Field(description="JPEG or PNG, at most 100 MB.")
    audio: MediaReference = Field(description="MP3, WAV or FLAC, at most 100 MB; its length is the reel's.")
    lyrics: str = Field("", description="One caption line per line; a literal backslash-n counts as a line break.")
    language: str | None = Field(
        None,
        pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$",
        description="BCP 47 tag such as en, hi, ja; chooses the font where scripts share code points.",
    )
    font_size: int = Field(45, ge=8, le=400, description="Em size in pixels on a picture 1080 pixels wide.")
    font_color: Annotated[str, AfterValidator(_color)] = Field(
        "yellow", max_length=64, description="CSS name or #RRGGBB."
    )
    words_per_group: int = Field(3, ge=1, le=50, description="Words shown together.")
    timing_offset: float = Field(
        0.0, ge=-3600, le=3600, allow_inf_nan=False, description="Seconds added to every caption."
    )
    min_duration: float = Field(
        1.0,
        ge=0,
        le=60,
        allow_inf_nan=False,
        description="Shortest time in seconds that a caption stays, where the next one allows.",
    )
    alignment_mode: Literal["auto", "elevenlabs", "even", "local"] = Field(
        "auto", description="How words get their times."
    )
    debug_mode: bool = Field(False, description="Captions carry their start time, as in [2.5s].")
    renderer: Literal["auto", "local", "runpod"] = Field("auto", description="Where the reel is rendered.")
    width: Annotated[int, AfterValidator(_even)] = Field(1080, ge=128, le=3840, description="Pixels, even.")
    height: Annotated[int, AfterValidator(_even)] = Field(1920, ge=128, le=3840, description="Pixels, even.")

    @model_validator(mode="before")
    @classmethod
    def _line_breaks(cls, data: Any) -> Any:
        # Form posts and shells send the two characters \n where a line break is meant.
        if isinstance(data, dict) and data.get("lyrics", "") is None:
            return {**data, "lyrics": ""}
        if isinstance(data, dict) and isinstance(data.get("lyrics"), str):
            lyrics = re.sub(r"\r\n?", "\n", data["lyrics"].replace("\\n", "\n"))
            return {**data, "lyrics": lyrics}
        return data

    @model_validator(mode="after")
    def _available(self) -> Self:
        if self.alignment_mode != "even":
            raise UnsupportedOption(
                f'alignment_mode {self.alignment_mode!r} is not available on this worker yet; use "even"',
                field="data.alignment_mode",
            )
        if self.renderer == "runpod":
            raise UnsupportedOption(
                'renderer "runpod" is not available on this worker yet; use "auto" or "local"', field="data.renderer"
            )
        if not self.lyrics.strip():
            raise LyricsRequired(field="data.lyrics")
        lines = self.lyrics.split("\n")
        if len(lines) > MAX_LYRICS_LINES:
            raise LyricsTooLong(
                f"lyrics have {len(lines):,} lines, the limit is {MAX_LYRICS_LINES:,}", field="data.lyrics"
            )
        if max(map(len, lines)) > MAX_LINE_CHARACTERS:
            raise LyricsTooLong(
                f"a line of the lyrics has more than {MAX_LINE_CHARACTERS:,} characters", field="data.lyrics"
            )
        if len(self.lyrics.split()) > MAX_LYRICS_WORDS:
            raise LyricsTooLong(f"lyrics have more than {MAX_LYRICS_WORDS:,} words", field="data.lyrics")
        return self
