"""How captions look: the named styles of a reel.

Plain dataclasses, because the child process that draws captions decodes untrusted media and must import little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

StyleName = Literal["classic", "bold", "minimal", "box", "karaoke", "pop"]
FontName = Literal["sans", "serif", "rounded", "condensed"]

#: The most by which a word that grows covers what is next to it, in ems.
GROWTH = 0.13


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionStyle:
    """The letters of captions, and what is drawn behind them. Lengths are in ems."""

    #: Em size in pixels of a video whose shorter side has 1080 pixels, and a CSS colour.
    font_size: int
    font_color: str
    font: FontName = "sans"
    #: Weight of the font, from 100 (thin) to 900 (black).
    weight: int = 700
    upper_case: bool = False
    outline: float = 0.0
    #: The shadow: how far it extends from the letters before it is blurred, blur, distance downwards, and opacity.
    shadow_spread: float = 0.0
    shadow_blur: float = 0.09
    shadow_offset: float = 0.05
    shadow_opacity: float = 0.6
    #: Opacity of a plate behind each line; 0 for none.
    plate: float = 0.0
    #: Whether the word that is sung is on a plate of its own, in ``highlight_color``, with black or white letters.
    pill: bool = False
    #: CSS colour of the word that is sung; ``None`` if words are not shown apart. ``font_color`` is that of the words
    #: before it, and those to come have ``coming`` of its brightness.
    highlight_color: str | None = None
    coming: float = 1.0
    #: Size of the word that is sung, compared with the others.
    grow: float = 1.0
    #: Words and phrases that have a colour of their own, which must be a CSS colour.
    emphasis: tuple[str, ...] = ()
    emphasis_color: str = "#5ce1ff"
    #: Whether the next caption is shown below, smaller and dimmed.
    next_line: bool = False
    #: Whether dots count the last seconds of a long break down.
    countdown: bool = False
    #: Whether a line shows how much of the reel is over.
    progress_line: bool = False

    @property
    def reach(self) -> float:
        """How far outline, plate and growth extend from the letters, sideways."""
        return (0.36 if self.plate else self.outline) + (GROWTH if self.grow > 1 else 0.0)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> CaptionStyle:
        """Return the style whose fields are in ``record``."""
        return cls(**record | {"emphasis": tuple(record["emphasis"])})


STYLES: dict[StyleName, CaptionStyle] = {
    "classic": CaptionStyle(font_size=45, font_color="yellow", outline=0.075),
    "bold": CaptionStyle(
        font_size=84, font_color="white", weight=900, upper_case=True, outline=0.1, shadow_offset=0.08, shadow_blur=0.06
    ),
    "minimal": CaptionStyle(
        font_size=60,
        font_color="white",
        weight=600,
        shadow_spread=0.14,
        shadow_blur=0.07,
        shadow_offset=0.01,
        shadow_opacity=0.66,
    ),
    "box": CaptionStyle(
        font_size=58,
        font_color="white",
        weight=700,
        plate=0.78,
        shadow_opacity=0.0,
        highlight_color="#ffe000",
        pill=True,
    ),
    "karaoke": CaptionStyle(
        font_size=72,
        font_color="white",
        weight=800,
        outline=0.08,
        shadow_offset=0.06,
        highlight_color="#ffe000",
        coming=0.7,
        countdown=True,
    ),
    "pop": CaptionStyle(
        font_size=80,
        font_color="white",
        weight=900,
        upper_case=True,
        outline=0.1,
        shadow_offset=0.08,
        shadow_blur=0.06,
        highlight_color="#ffd400",
        grow=1.18,
    ),
}
