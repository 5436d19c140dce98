"""Fields of a ``reel`` for what is behind its captions: how the image moves."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

Motion = Annotated[
    Literal["none", "kenburns"],
    Field(description="kenburns: the image slowly moves and grows. Rendering then takes 30 to 40 times as long."),
]
