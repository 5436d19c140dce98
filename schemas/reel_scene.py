"""Fields of a ``reel`` for what is behind its captions: movement, further images, title, watermark and waveform."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from schemas.input_model import InputModel
from schemas.reference import MediaReference

Motion = Annotated[
    Literal["none", "kenburns"],
    Field(description="kenburns: the image slowly moves and grows. Rendering then takes 30 to 40 times as long."),
]


class TimedImage(InputModel):
    """A further image of a reel, and when it replaces the one before it."""

    image: MediaReference = Field(description="As image.")
    at: float = Field(
        gt=0, le=14_400, allow_inf_nan=False, description="Seconds from the start of the reel at which it appears."
    )


def _in_order(images: tuple[TimedImage, ...]) -> tuple[TimedImage, ...]:
    for before, after in pairwise(images):
        if after.at <= before.at:
            raise ValueError(f"must be in order of their times, and {after.at:g} s does not follow {before.at:g} s")
    return images


Images = Annotated[
    tuple[TimedImage, ...],
    AfterValidator(_in_order),
    Field(
        max_length=50,
        description="Further images, at most 50, in order: each has image, as above, and at, the second of the reel at "
        "which it replaces the image before it.",
    ),
]
Crossfade = Annotated[
    float,
    Field(
        ge=0,
        le=10,
        allow_inf_nan=False,
        description="Seconds that an image takes to replace the one before it. 0: it appears at once.",
    ),
]
Title = Annotated[
    str, Field(max_length=120, description="A line at the upper end of the safe area, on the whole reel.")
]
Artist = Annotated[str, Field(max_length=120, description="A smaller line below the title.")]
Watermark = Annotated[
    MediaReference | None,
    Field(
        description="An image in a corner of the safe area, such as a logo as PNG with transparency. It is reduced to "
        "at most 26 % of the frame's shorter side in width and 10 % in height."
    ),
]
Corner = Annotated[
    Literal["top-left", "top-right", "bottom-left", "bottom-right"],
    Field(description="The corner of the safe area in which the watermark is."),
]
Waveform = Annotated[
    bool,
    Field(
        description="Bars at the lower end of the safe area that move with the sound, low notes in the middle. "
        "Rendering then takes 10 to 20 times as long."
    ),
]
