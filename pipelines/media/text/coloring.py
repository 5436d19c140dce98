"""Give words of a drawn caption their own colours: those that are sung or to come, and those with emphasis."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from pipelines.media.text.fitting import ASCENT, DESCENT
from pipelines.media.text.painting import Color, Placed, Rectangle, Style, paint, recolor
from pipelines.media.text.shaping import Glyph
from schemas.caption_style import GROWTH

#: How far the plate of a word reaches from its baseline and its sides, in ems; and its distance to other words.
_PILL_TOP, _PILL_BOTTOM, _PILL_SIDE, _PILL_CLEAR = 1.0, 0.3, 0.12, 0.05


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


def colored(drawn: Drawn, style: Style, colors: Mapping[Color, Placed], *, repaint: bool = False) -> Image.Image:
    """Return the caption with its glyphs in ``colors``; ``repaint`` if its pixels are not those of its glyphs.

    Letters whose contrast with the outline or plate of the others is too low get an outline of their own.
    """
    apart = [color for color in colors if not style.is_legible(color)]
    if apart or repaint:
        absent = {id(one) for color in apart for one in colors[color]}
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
    """Return the caption with the word ``singing``, of ``width`` ems, larger and in the highlight's colour.

    Only the part around the word is painted again.
    """
    pixels, size = colored(drawn, style, colors), drawn.size
    scale = min(style.look.grow, 1 + 2 * GROWTH / width)
    middle = min(x for _, x, _ in singing) + width * size / 2
    larger = [(glyph, middle + (x - middle) * scale, y + glyph.y * size * (1 - scale)) for glyph, x, y in singing]
    pad = pad_of(style, size)
    part = _around([*singing, *larger], size * scale, pad, pixels.size)
    outer = _around([*singing, *larger], size * scale, 2 * pad, pixels.size)
    near = {color: _moved(glyphs, outer, size) for color, glyphs in colors.items()}
    others = [one for glyphs in near.values() for one in glyphs]
    plates = [
        (left - outer[0], top - outer[1], right - outer[0], end - outer[1]) for left, top, right, end in drawn.plates
    ]
    cut = dataclasses.replace(drawn, pixels=pixels.crop(outer), placed=others, plates=plates)
    left, top, right, bottom = (edge - outer[index % 2] for index, edge in enumerate(part))
    patch = colored(cut, style, near, repaint=True).crop((left, top, right, bottom))
    lit = style.with_color(style.highlight)
    patch.alpha_composite(paint(_moved(larger, part, size), *patch.size, size * scale, lit))
    pixels.paste(patch, part[:2])
    return pixels


def pad_of(style: Style, size: float) -> int:
    """Return how far outline, plate and shadow extend from the letters, in pixels."""
    look = style.look
    return math.ceil(size * (look.reach + look.shadow_spread + 2 * look.shadow_blur + look.shadow_offset)) + 2


def _around(placed: Placed, size: float, pad: int, whole: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the part of a picture around glyphs, from edges at which the shadow is the same as in the whole."""
    extents = [_extent(one, size) for one in placed]
    baselines = [_baseline(one, size) for one in placed]
    return (
        max(0, math.floor(min(left for left, _ in extents)) - pad) // 4 * 4,
        max(0, math.floor(min(baselines) - ASCENT * size) - pad) // 4 * 4,
        min(whole[0], math.ceil(max(right for _, right in extents)) + pad),
        min(whole[1], math.ceil(max(baselines) + DESCENT * size) + pad),
    )


def _moved(placed: Placed, part: tuple[int, int, int, int], size: float) -> Placed:
    """Return the glyphs that are in ``part`` or near it, with origins from its left and top edge."""
    left, top, right, bottom = part
    return [
        (glyph, x - left, y - top)
        for glyph, x, y in placed
        if left - 2 * size <= x <= right + size and top - size <= y <= bottom + 2 * size
    ]


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
