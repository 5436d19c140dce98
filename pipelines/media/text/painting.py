"""Paint placed glyphs: letters and emoji with an outline, a soft shadow, or a plate behind them."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import uharfbuzz as hb
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter

from pipelines.media.text.shaping import Glyph
from schemas.caption_style import STYLES, CaptionStyle

#: Shape (height, width) for coverage or (height, width, 4) for RGBA, uint8.
_Pixels = NDArray[np.uint8]
#: Each glyph with its origin in pixels from the top left corner.
Placed = list[tuple[Glyph, float, float]]
Color = tuple[int, int, int]
#: Left, top, right and bottom edge in pixels.
Rectangle = tuple[float, float, float, float]

_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
#: The contrast ratio of letters and shadow from which a soft shadow is enough.
_STRONG_CONTRAST = 10
#: The contrast ratio from which large letters can be read (WCAG 2.2, success criterion 1.4.3).
LEGIBLE = 3
#: The outline of letters that could not be read on the plate behind them, in ems.
_PLATE_OUTLINE = 0.08
#: The same for letters and a plate over the least favourable background.
_PLATE_CONTRAST = 4.5
#: Radius of a plate's corners in ems.
_PLATE_RADIUS = 0.26


@dataclass(frozen=True, slots=True)
class Style:
    """How captions look: em size in pixels, and the colour of the letters as red, green and blue from 0 to 255.

    ``opacity``, from 0 to 255, applies to all that is drawn alike.
    """

    size: float
    color: Color
    opacity: int = 255
    look: CaptionStyle = STYLES["classic"]

    @property
    def edge(self) -> Color:
        """The colour of outline and plate: black or white, whichever has the greater contrast with the letters."""
        return edge_of(self.color)

    @property
    def highlight(self) -> Color:
        """The colour of the word that is sung."""
        return _rgb(self.look.highlight_color) if self.look.highlight_color else self.color

    @property
    def emphasis(self) -> Color:
        """The colour of words with emphasis."""
        return _rgb(self.look.emphasis_color)

    def dimmed(self, color: Color, share: float) -> Color:
        """Return ``color`` with ``share`` of its brightness, or more where it would be hard to read on its outline."""
        while True:
            red, green, blue = (
                round(one * share + other * (1 - share)) for one, other in zip(color, self.edge, strict=True)
            )
            if share >= 1 or contrast((red, green, blue), self.edge) >= LEGIBLE:
                return red, green, blue
            share += 0.05

    def is_legible(self, color: Color) -> bool:
        """Return whether letters of ``color`` can be read on the outline, plate or shadow of the others."""
        if color == self.color:
            return True
        if self.look.plate:
            return contrast(color, self._plate_over_opposite(self.plate_opacity)) >= LEGIBLE
        return contrast(color, self.edge) >= (LEGIBLE if self.look.outline else _STRONG_CONTRAST)

    def with_color(self, color: Color) -> Style:
        """Return the style of letters of ``color`` with an outline or shadow of their own."""
        look = self.look
        if look.plate:
            look = dataclasses.replace(look, plate=0.0, outline=look.outline or _PLATE_OUTLINE)
        return dataclasses.replace(self, color=color, look=look)

    @property
    def plate_opacity(self) -> float:
        """The opacity of the plate. Letters of medium brightness need a stronger one."""
        opacity = self.look.plate
        weak = contrast(self.color, self._plate_over_opposite(opacity)) < _PLATE_CONTRAST
        return 1.0 if weak and opacity else opacity

    def _plate_over_opposite(self, opacity: float) -> Color:
        """Return the colour of the plate over a background that is white if the plate is black, and the reverse."""
        red, green, blue = (round(one * opacity + (255 - one) * (1 - opacity)) for one in self.edge)
        return red, green, blue

    @property
    def shadow_opacity(self) -> float:
        """The opacity of the shadow. Letters of medium brightness need a stronger one if they have no outline."""
        look = self.look
        weak = not look.outline and contrast(self.color, self.edge) < _STRONG_CONTRAST
        return 1.0 if weak and look.shadow_opacity else look.shadow_opacity


@functools.lru_cache(maxsize=256)
def edge_of(color: Color) -> Color:
    """Return black or white, whichever has the greater contrast with ``color``."""
    return _BLACK if contrast(color, _BLACK) >= contrast(color, _WHITE) else _WHITE


@functools.lru_cache(maxsize=1024)
def contrast(one: Color, other: Color) -> float:
    """Return the contrast ratio of two sRGB colours, from 1 to 21 (WCAG 2.2)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: Color) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in color)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def paint(
    placed: Placed, width: int, height: int, size: float, style: Style, plates: Sequence[Rectangle] = ()
) -> Image.Image:
    """Return a caption as an opaque RGBA picture of ``width`` x ``height``; ``size`` is the em size in pixels."""
    look = style.look
    letters = _coverage(placed, width, height, size)
    emoji = _emoji(placed, width, height, size)
    shapes = np.maximum(letters, emoji[:, :, 3]) if emoji is not None else letters
    edge = Image.fromarray(_dilate(shapes, look.outline * size) if look.outline else shapes)
    if look.outline and not look.plate:
        # Outside of the outline there is only the shadow, which is black.
        under, weight = _shadow(edge, size, style), Image.fromarray(letters)
        alpha = ImageChops.lighter(edge, under)
        bands = _mixed(weight, _BLACK, style.color)
        if style.edge != _BLACK:
            pixels = Image.merge("RGB", _mixed(edge, _BLACK, style.edge))
            _fill(pixels, style.color, weight)
            bands = list(pixels.split())
    else:
        under = _rounded(plates, width, height, size, style.plate_opacity) if look.plate else _shadow(edge, size, style)
        alpha = ImageChops.screen(edge, under)
        weight = _share(letters, alpha)
        bands = _mixed(weight, style.edge, style.color)
    if emoji is not None:
        rest = ImageChops.invert(Image.fromarray(emoji[:, :, 3]))
        own = [Image.fromarray(np.ascontiguousarray(emoji[:, :, band])) for band in range(3)]
        bands = [ImageChops.add(ImageChops.multiply(one, rest), two) for one, two in zip(bands, own, strict=True)]
    return Image.merge("RGBA", (*bands, alpha))


def recolor(pixels: Image.Image, placed: Placed, size: float, color: Color) -> None:
    """Give the letters of ``placed``, which are in ``pixels``, another colour."""
    _fill(pixels, (*color, 255), Image.fromarray(_coverage(placed, *pixels.size, size)))


def add_pills(pixels: Image.Image, pills: Sequence[Rectangle], placed: Placed, size: float, style: Style) -> None:
    """Paint plates in the colour of the word that is sung, and the letters of ``placed`` on them in black or white."""
    color = style.highlight
    # Letters of some scripts extend beyond their plate.
    left = max(0, math.floor(min(edge for edge, *_ in pills) - size))
    top = max(0, math.floor(min(edge for _, edge, *_ in pills) - size))
    width = min(pixels.width, math.ceil(max(edge for *_, edge, _ in pills) + size)) - left
    height = min(pixels.height, math.ceil(max(edge for *_, edge in pills) + size)) - top
    plate = Image.new("RGBA", (width, height), color)
    moved = [(start - left, above - top, end - left, below - top) for start, above, end, below in pills]
    plate.putalpha(_rounded(moved, width, height, size, 1.0))
    pixels.alpha_composite(plate, (left, top))
    bare = dataclasses.replace(style.look, plate=0.0, outline=0.0, shadow_opacity=0.0)
    letters = dataclasses.replace(style, color=edge_of(color), look=bare)
    word = [(glyph, x - left, y - top) for glyph, x, y in placed]
    pixels.alpha_composite(paint(word, width, height, size, letters), (left, top))


def faded(pixels: Image.Image, share: float) -> Image.Image:
    """Return ``pixels`` with ``share`` of their opacity."""
    if share < 1:
        pixels = pixels.copy()
        pixels.putalpha(pixels.getchannel("A").point(_scaled(share)))
    return pixels


def bar(width: int, height: int, share: float, style: Style) -> Image.Image:
    """Return a progress line: a bar with round ends, of which ``share`` is in the colour of the word that is sung."""
    rim, edge = max(1, round(height * 0.22)), style.edge
    inner = (rim, rim, width - rim, height - rim)
    pixels = Image.new("RGBA", (width, height), (*edge, 0))
    for color, opacity, (left, top, right, bottom) in (
        (edge, 0.5, (0, 0, width, height)),
        (style.color, 0.45, inner),
        (style.highlight, 1.0, (*inner[:2], inner[0] + round((inner[2] - inner[0]) * share), inner[3])),
    ):
        if right - left > 1:
            layer = Image.new("RGBA", pixels.size, color)
            layer.putalpha(_rounded([(left, top, right, bottom)], width, height, height * 4, opacity))
            pixels.alpha_composite(layer)
    return pixels


def _rgb(color: str) -> Color:
    red, green, blue = ImageColor.getrgb(color)[:3]
    return red, green, blue


def _share(letters: _Pixels, alpha: Image.Image) -> Image.Image:
    """Return how much of each pixel's colour is the letters', where the rest of it is what is under them."""
    total = np.maximum(np.asarray(alpha), 1).astype(np.uint16)
    return Image.fromarray((letters.astype(np.uint16) * 255 // total).clip(0, 255).astype(np.uint8))


def _rounded(plates: Sequence[Rectangle], width: int, height: int, size: float, opacity: float) -> Image.Image:
    """Return the mask of plates with rounded and smooth corners."""
    mask = Image.new("L", (width * 2, height * 2))
    drawing = ImageDraw.Draw(mask)
    for left, top, right, bottom in plates:
        corners = (round(left * 2), round(top * 2), round(right * 2) - 1, round(bottom * 2) - 1)
        drawing.rounded_rectangle(corners, _PLATE_RADIUS * size * 2, fill=round(255 * opacity))
    return mask.reduce(2)


def _mixed(weight: Image.Image, under: Color, over: Color) -> list[Image.Image]:
    """Return red, green and blue of a picture of two colours: of ``over`` as much as ``weight``, the rest ``under``."""
    return [
        weight if (low, high) == (0, 255) else weight.point(_ramp(low, high))
        for low, high in zip(under, over, strict=True)
    ]


@functools.lru_cache(maxsize=64)
def _ramp(low: int, high: int) -> list[int]:
    """Return what is between two levels in 256 steps."""
    return [round(low + (high - low) * step / 255) for step in range(256)]


def _fill(pixels: Image.Image, color: tuple[int, ...], mask: Image.Image) -> None:
    """Give ``pixels`` a colour where ``mask`` is, which is often a small part of the picture."""
    covered = mask.getbbox()
    if covered is not None:
        pixels.paste(color, covered, mask.crop(covered))


def _shadow(edge: Image.Image, size: float, style: Style) -> Image.Image:
    """Return the shadow of ``edge``: blurred and moved down. Blurring at a quarter of the size looks the same."""
    look, opacity = style.look, style.shadow_opacity
    if look.shadow_spread and opacity:
        edge = Image.fromarray(_dilate(np.asarray(edge), look.shadow_spread * size))
    shadow = Image.new("L", edge.size)
    covered = edge.getbbox() if opacity else None
    if covered is not None:
        margin = math.ceil(4 * look.shadow_blur * size) + 8
        left, top = (max(0, side - margin) // 4 * 4 for side in covered[:2])
        right, bottom = (min(side + margin, whole) for side, whole in zip(covered[2:], edge.size, strict=True))
        small = edge.crop((left, top, right, bottom)).reduce(4)
        small = small.filter(ImageFilter.GaussianBlur(look.shadow_blur * size / 4))
        soft = small.resize((small.width * 4, small.height * 4), Image.Resampling.BILINEAR)
        soft = soft.point(_scaled(opacity))
        shadow.paste(soft, (left, top + round(look.shadow_offset * size)))
    return shadow


@functools.lru_cache(maxsize=64)
def _scaled(share: float) -> list[int]:
    """Return ``share`` of each value from 0 to 255."""
    return [round(value * share) for value in range(256)]


def _coverage(placed: Placed, width: int, height: int, size: float) -> _Pixels:
    """Return how much of each pixel the letters cover, from 0 to 255: shape (height, width), uint8."""
    raster = hb.RasterDraw()
    raster.extents = hb.RasterExtents(0, 0, width, height, 0)
    for glyph, x, y in placed:
        if not glyph.face.colored:
            scale = size / glyph.face.upem
            raster.transform = (scale, 0, 0, scale, x, height - y)
            raster.draw_glyph(glyph.face.font, glyph.index)
    return _rows(raster.render(), height)[:, :width]


def _emoji(placed: Placed, width: int, height: int, size: float) -> _Pixels | None:
    """Return the coloured glyphs as premultiplied RGBA, shape (height, width, 4), or ``None`` if there are none."""
    pictures = [(glyph, x, y) for glyph, x, y in placed if glyph.face.colored]
    if not pictures:
        return None
    canvas = np.zeros((height, width, 4), np.uint8)
    for glyph, x, y in pictures:
        scale = size / glyph.face.upem
        # Emoji do not overlap, so each is painted into a square tile of its own.
        left, base, side = math.floor(x), math.ceil(y), math.ceil(size * 1.3) + 2
        paint = hb.RasterPaint()
        paint.extents = hb.RasterExtents(0, 0, side, side, 0)
        paint.transform = (scale, 0, 0, scale, x - left, base - y + 0.2 * size)
        paint.paint_glyph(glyph.face.font, glyph.index)
        tile = _rows(paint.render(), side).reshape(side, -1, 4)[:, :side, (2, 1, 0, 3)]
        _put(canvas, tile, left, base + round(0.2 * size) - side)
    return canvas


def _put(canvas: _Pixels, tile: _Pixels, left: int, top: int) -> None:
    y0, x0 = max(0, -top), max(0, -left)
    area = canvas[top + y0 : max(top + tile.shape[0], 0), left + x0 : max(left + tile.shape[1], 0)]
    np.maximum(area, tile[y0 : y0 + area.shape[0], x0 : x0 + area.shape[1]], out=area)


def _rows(image: hb.RasterImage | None, height: int) -> _Pixels:
    """Return the rows of a HarfBuzz image, which stores the bottom row first, from top to bottom."""
    if image is None:
        raise MemoryError("not enough memory to draw a caption")
    return np.frombuffer(image.buffer, np.uint8).reshape(height, -1)[::-1]


def _dilate(mask: _Pixels, radius: float) -> _Pixels:
    """Return ``mask`` grown by ``radius`` pixels: the maximum over a disc, at its rim weighted by the covered share."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    grown = mask.copy()
    if rows.size:
        reach = math.ceil(radius + 0.5)
        part = tuple(slice(max(0, line[0] - reach), line[-1] + reach + 1) for line in (rows, columns))
        grown[part] = _dilate_all(mask[part], radius, reach)
    return grown


def _dilate_all(mask: _Pixels, radius: float, reach: int) -> _Pixels:
    """Return the maximum over a disc around each pixel: of rows of it, and of the pixels of its rim, which is soft."""
    height, width = mask.shape
    padded = np.pad(mask, reach)
    solid, rim = _disc(radius)
    #: For each distance: the greater of the two pixels at this distance in the same row, and the greatest up to it.
    sides, rows = [padded[:, reach : reach + width]], [padded[:, reach : reach + width]]
    for dx in range(1, reach + 1):
        side = np.maximum(padded[:, reach - dx : reach - dx + width], padded[:, reach + dx : reach + dx + width])
        sides.append(side)
        rows.append(np.maximum(rows[-1], side))
    grown = mask.copy()
    for dy, dx in solid:
        for top in {reach - dy, reach + dy}:
            np.maximum(grown, rows[dx][top : top + height], out=grown)
    for share, offsets in rim:
        ring = np.zeros_like(mask)
        for dy, dx in offsets:
            for top in {reach - dy, reach + dy}:
                np.maximum(ring, sides[dx][top : top + height], out=ring)
        np.maximum(grown, ring // _WHOLE * share, out=grown)
    return grown


#: Number of steps from an uncovered to a completely covered pixel at the rim of a disc.
_WHOLE = 4


@functools.lru_cache(maxsize=64)
def _disc(radius: float) -> tuple[list[tuple[int, int]], list[tuple[int, list[tuple[int, int]]]]]:
    """Return the quarter of a disc to the right of and below its centre.

    First, for each distance down, how far to the right it covers pixels completely. Second, the distances of pixels at
    its rim, down and to the right, by how much of the pixel it covers (1 to ``_WHOLE`` - 1).
    """
    solid: dict[int, int] = {}
    rim: dict[int, list[tuple[int, int]]] = {}
    reach = math.ceil(radius + 0.5)
    for dy in range(reach + 1):
        for dx in range(reach + 1):
            share = round(min(max(radius + 0.5 - math.hypot(dx, dy), 0.0), 1.0) * _WHOLE)
            if share == _WHOLE:
                solid[dy] = dx
            elif share:
                rim.setdefault(share, []).append((dy, dx))
    return list(solid.items()), sorted(rim.items())
