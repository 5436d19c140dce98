"""Parameters of ``audio-to-captions``: the captions of a reel, as files, without the video."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from schemas.input_model import InputModel
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


class AudioToCaptions(InputModel):
    """``data`` of an ``audio-to-captions`` request. Names and defaults are those of a reel."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"audio": "s3://inbox/talk.mp3", "alignment_mode": "elevenlabs"},
                {"audio": "s3://inbox/song.mp3", "lyrics": "First line\nSecond line"},
            ]
        },
    )

    audio: MediaReference = Field(description="MP3, WAV, FLAC, M4A, AAC, OGG, Opus or AIFF, at most 100 MB.")
    lyrics: Lyrics = Field(
        "",
        description="The spoken or sung text, one caption line per line. Of LRC and subtitles only the words are "
        "used. Optional with auto and elevenlabs.",
    )
    timing: Timing = None
    language: Language | None = Field(None, description="BCP 47 tag such as en, hi, ja. Default: detected.")
    alignment_mode: AlignmentMode = Field("auto", description=ALIGNMENT_HELP)
    words_per_group: WordsPerGroup = 3
    timing_offset: TimingOffset = 0.0
    min_duration: MinDuration = 1.0

    CHECKED_TOGETHER: ClassVar[frozenset[str]] = frozenset(("alignment_mode", "lyrics", "timing"))

    @model_validator(mode="after")
    def _available(self) -> Self:
        check_alignment_available(self.alignment_mode)
        check_lyrics(self.lyrics, required=self.alignment_mode in NEEDS_LYRICS and self.timing is None)
        return self
