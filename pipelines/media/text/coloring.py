"""Give words of a drawn caption their own colours: those that are sung or to come, and those with emphasis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from pipelines.media.text.painting import Color, Placed, Rectangle, Style, paint, recolor
from pipelines.media.text.shaping import Glyph
from schemas.caption_style import GROWTH

#: How far the plate of a word reaches from its baseline and its sides, in ems; and its distance to other words.
_PILL_TOP, _PILL_BOTTOM, _PILL_SIDE, _PILL_CLEAR = 1.0, 0.3, 0.12, 0.05
_NONE: Placed = []


@dataclass(frozen=True, slots=True)
class Drawn:
    """A caption in the colour of its style: its place in the frame, its pixels, and its glyphs with their origins."""

    text: str
    left: int
    top: int
    pixels: Image.Image
    size: float
    placed: Placed
    #: Index in what is drawn of the character of each glyph.
    characters: list[int]
    plates: list[Rectangle]
    #: Where the place of its lines ends, in pixels from the top of the frame.
    bottom: float


def colored(drawn: Drawn, style: Style, colors: Mapping[Color, Placed], hidden: Placed = _NONE) -> Image.Image:
    """Return the caption with its glyphs in ``colors``, and without those that are ``hidden``.

    Letters whose contrast with the outline or plate of the others is too low get an outline of their own.
    """
    apart = [color for color in colors if not style.is_legible(color)]
    if apart or hidden:
        absent = {id(one) for one in (*hidden, *(one for color in apart for one in colors[color]))}
        kept = [one for one in drawn.placed if id(one) not in absent]
        pixels = paint(kept, *drawn.pixels.size, drawn.size, style, drawn.plates)
    else:
        pixels = drawn.pixels.copy()
    for color, glyphs in colors.items():
        if color in apart:
            pixels.alpha_composite(paint(glyphs, *pixels.size, drawn.size, style.with_color(color)))
        elif color != style.color:
            recolor(pixels, glyphs, drawn.size, color)
    return pixels


def with_grown(
    drawn: Drawn, style: Style, colors: Mapping[Color, Placed], singing: Placed, width: float
) -> Image.Image:
    """Return the caption with the word ``singing``, of ``width`` ems, larger and in the highlight's colour."""
    pixels = colored(drawn, style, colors, singing)
    scale = min(style.look.grow, 1 + 2 * GROWTH / width)
    middle = min(x for _, x, _ in singing) + width * drawn.size / 2
    larger = [(glyph, middle + (x - middle) * scale, y + glyph.y * drawn.size * (1 - scale)) for glyph, x, y in singing]
    pixels.alpha_composite(paint(larger, *pixels.size, drawn.size * scale, style.with_color(style.highlight)))
    return pixels


def pills_behind(drawn: Drawn, singing: Placed) -> list[Rectangle]:
    """Return the plate behind the letters of a word, one for each line that it is on, clear of the letters around."""
    size, own = drawn.size, {id(one) for one in singing}
    others = [(_baseline(one, size), *_extent(one, size)) for one in drawn.placed if id(one) not in own]
    lines: dict[int, list[tuple[float, float]]] = {}
    for one in singing:
        lines.setdefault(_baseline(one, size), []).append(_extent(one, size))
    pills = []
    for baseline, spans in lines.items():
        left, right = min(start for start, _ in spans), max(end for _, end in spans)
        before = max((end for line, _, end in others if line == baseline and end <= left + 1), default=-size)
        after = min(
            (start for line, start, _ in others if line == baseline and start >= right - 1), default=right + size
        )
        gap = min(left - before, after - right) / size
        side = min(max(gap - _PILL_CLEAR, 0.02), _PILL_SIDE) * size
        pills.append((left - side, baseline - _PILL_TOP * size, right + side, baseline + _PILL_BOTTOM * size))
    return pills


def _baseline(one: tuple[Glyph, float, float], size: float) -> int:
    return round(one[2] + one[0].y * size)


def _extent(one: tuple[Glyph, float, float], size: float) -> tuple[float, float]:
    return one[1], one[1] + one[0].advance * size
