"""Draw captions: bold letters with an outline and a soft shadow, inside the safe area of a portrait video."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import uharfbuzz as hb
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from pipelines.media.text.fonts import Fonts
from pipelines.media.text.shaping import Glyph, ShapedLine, Shaper
from pipelines.media.text.wrapping import atoms, wrap

#: Shape (height, width) for coverage or (height, width, 4) for RGBA, uint8.
_Pixels = NDArray[np.uint8]

# Shares of the width and height, from a video of 1080 x 1920 pixels. Players cover its lower end with controls.
_SIDE_MARGIN = 80 / 1080
_BASELINE = 1 - 420 / 1920
#: Greatest height of a caption's lines, as a share of the picture's height.
_MAX_HEIGHT = 0.5
# In ems: distance between baselines, width of the outline, blur and vertical offset of the shadow. Then its opacity.
_LEADING = 1.28
_OUTLINE = 0.075
_SHADOW_BLUR = 0.09
_SHADOW_OFFSET = 0.05
_SHADOW_OPACITY = 0.6
#: Most lines at full size before a smaller size is tried; the sizes to try, as shares of the full size; and the size
#: below which words that are wider than a line are broken.
_FULL_SIZE_LINES = 4
_SIZES = tuple(0.9**step for step in range(22))
_BREAK_WORDS_BELOW = 0.6


@dataclass(frozen=True, slots=True)
class Style:
    """How captions look: em size in pixels, and the colour of the letters as red, green and blue from 0 to 255.

    ``opacity``, from 0 to 255, applies to letters, emoji, outline and shadow alike.
    """

    size: float
    color: tuple[int, int, int]
    opacity: int = 255

    @property
    def edge(self) -> tuple[int, int, int]:
        """The outline's colour: black, or white around dark letters (luma of ITU-R BT.709)."""
        red, green, blue = self.color
        return (255, 255, 255) if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 70 else (0, 0, 0)


class CaptionRenderer:
    """Draws captions for pictures of one size."""

    def __init__(self, width: int, height: int, style: Style, fonts: Fonts, language: str | None = None) -> None:
        self._width, self._height = width, height
        self._style = style
        self.shaper = Shaper(fonts, language)

    def draw(self, text: str) -> tuple[int, int, Image.Image] | None:
        """Draw ``text``; return the left and top edge in pixels and an RGBA picture (alpha not premultiplied).

        Return ``None`` if none of ``text`` is visible.
        """
        size, lines = self._layout(text)
        if not any(line.glyphs for line in lines):
            return None
        pad = math.ceil(size * (_OUTLINE + 2 * _SHADOW_BLUR + _SHADOW_OFFSET)) + 2
        widest = max(line.width for line in lines) * size
        leading = size * _LEADING
        last = self._height * _BASELINE
        left = max(0, math.floor((self._width - widest) / 2) - pad)
        right = min(self._width, math.ceil((self._width + widest) / 2) + pad)
        top = max(0, math.floor(last - leading * (len(lines) - 1) - size * 1.15) - pad)
        bottom = min(self._height, math.ceil(last + size * 0.5) + pad)
        placed = [
            (glyph, self._width / 2 - line.width * size / 2 - left + glyph.x * size, y - top - glyph.y * size)
            for line, y in zip(
                lines, (last - leading * (len(lines) - 1 - row) for row in range(len(lines))), strict=True
            )
            for glyph in line.glyphs
        ]
        return left, top, _paint(placed, right - left, bottom - top, size, self._style)

    def _layout(self, text: str) -> tuple[float, list[ShapedLine]]:
        """Return the em size in pixels and the lines of similar width; a long text gets a smaller size."""
        limit = self._width * (1 - 2 * _SIDE_MARGIN)
        max_height = self._height * _MAX_HEIGHT
        size, lines = self._style.size, [text]
        for scale in _SIZES:
            size = self._style.size * scale
            wrapped = self._wrap(text, limit / size, break_words=scale < _BREAK_WORDS_BELOW)
            lines = wrapped or lines
            if wrapped and len(lines) * size * _LEADING <= max_height and (len(lines) <= _FULL_SIZE_LINES or scale < 1):
                break
        return size, [self.shaper.shape(line) for line in lines]

    def _wrap(self, text: str, limit: float, *, break_words: bool) -> list[str] | None:
        """Return lines of at most ``limit`` ems. Only words that are wider than that may be broken."""

        def width(part: str) -> float:
            return self.shaper.shape(part).width

        def fits(part: str) -> bool:
            return width(part) <= limit

        return wrap(atoms(text, breaks=lambda word: break_words and not fits(word), fits=fits), width, limit)


def _paint(placed: list[tuple[Glyph, float, float]], width: int, height: int, size: float, style: Style) -> Image.Image:
    """Return shadow, outline, letters and emoji, painted in this order, as an RGBA picture of ``width`` x ``height``.

    ``placed`` has each glyph with its origin in pixels from the top left corner; ``size`` is the em size in pixels.
    """
    letters = _coverage(placed, width, height, size)
    emoji = _emoji(placed, width, height, size)
    shapes = np.maximum(letters, emoji[:, :, 3]) if emoji is not None else letters
    edge = Image.fromarray(_dilate(shapes, _OUTLINE * size))
    pixels = Image.new("RGB", (width, height))
    if style.edge != (0, 0, 0):
        pixels.paste(style.edge, mask=edge)
    pixels.paste(style.color, mask=Image.fromarray(letters))
    if emoji is not None:
        over = Image.fromarray(emoji[:, :, 3])
        pixels = ImageChops.add(
            ImageChops.multiply(pixels, Image.merge("RGB", [ImageChops.invert(over)] * 3)),
            Image.fromarray(np.ascontiguousarray(emoji[:, :, :3])),
        )
    # Outside of the outline there is only the shadow, which is black like the pixels there.
    alpha = ImageChops.lighter(edge, _shadow(edge, size))
    pixels.putalpha(
        alpha if style.opacity == 255 else alpha.point([value * style.opacity // 255 for value in range(256)])
    )
    return pixels


def _shadow(edge: Image.Image, size: float) -> Image.Image:
    """Return the shadow of ``edge``: blurred and moved down. Blurring at a quarter of the size looks the same."""
    small = edge.reduce(4).filter(ImageFilter.GaussianBlur(_SHADOW_BLUR * size / 4))
    soft = small.resize((small.width * 4, small.height * 4), Image.Resampling.BILINEAR)
    shadow = Image.new("L", edge.size)
    shadow.paste(soft, (0, round(_SHADOW_OFFSET * size)))
    return shadow.point([round(value * _SHADOW_OPACITY) for value in range(256)])


def _coverage(placed: list[tuple[Glyph, float, float]], width: int, height: int, size: float) -> _Pixels:
    """Return how much of each pixel the letters cover, from 0 to 255: shape (height, width), uint8."""
    raster = hb.RasterDraw()
    raster.extents = hb.RasterExtents(0, 0, width, height, 0)
    for glyph, x, y in placed:
        if not glyph.face.colored:
            scale = size / glyph.face.upem
            raster.transform = (scale, 0, 0, scale, x, height - y)
            raster.draw_glyph(glyph.face.font, glyph.index)
    return _rows(raster.render(), height)[:, :width]


def _emoji(placed: list[tuple[Glyph, float, float]], width: int, height: int, size: float) -> _Pixels | None:
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
    height, width = mask.shape
    reach = math.ceil(radius + 0.5)
    padded = np.pad(mask, reach)
    grown = mask.copy()
    for share, offsets in _disc(radius):
        ring = grown if share == _WHOLE else np.zeros_like(mask)
        for dx, dy in offsets:
            np.maximum(ring, padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width], out=ring)
        if share != _WHOLE:
            np.maximum(grown, ring // _WHOLE * share, out=grown)
    return grown


#: Number of steps from an uncovered to a completely covered pixel at the rim of a disc.
_WHOLE = 4


@functools.lru_cache(maxsize=64)
def _disc(radius: float) -> list[tuple[int, list[tuple[int, int]]]]:
    """Return the pixel offsets that a disc of ``radius`` covers, by how much of the pixel it covers (1 to ``_WHOLE``).

    The strokes of letters are several pixels wide, so only one in nine of the offsets well inside the disc is needed.
    """
    shares: dict[int, list[tuple[int, int]]] = {}
    reach = math.ceil(radius + 0.5)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            distance = math.hypot(dx, dy)
            share = round(min(max(radius + 0.5 - distance, 0.0), 1.0) * _WHOLE)
            if share and (distance > radius - 1.5 or (dx % 3 == 0 and dy % 3 == 0)):
                shares.setdefault(share, []).append((dx, dy))
    return sorted(shares.items())
