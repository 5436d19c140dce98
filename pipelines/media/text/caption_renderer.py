"""Draw captions inside their area of the frame."""

from __future__ import annotations

import math

from PIL import Image

from pipelines.media.layout import CaptionArea
from pipelines.media.text.fitting import ASCENT, LEADING, fit_text, height_of
from pipelines.media.text.fonts import Fonts
from pipelines.media.text.painting import Style, paint
from pipelines.media.text.shaping import ShapedLine, Shaper

#: How far a plate reaches above and below the baseline of its line, in ems.
_PLATE_TOP, _PLATE_BOTTOM = 1.14, 0.44


class CaptionRenderer:
    """Draws captions for one area of a frame."""

    def __init__(
        self, area: CaptionArea, style: Style, fonts: Fonts, language: str | None = None, shaper: Shaper | None = None
    ) -> None:
        self._area = area
        self._style = style
        self._language = language
        self.shaper = shaper or Shaper(fonts, language)

    def draw(self, text: str) -> tuple[int, int, Image.Image] | None:
        """Draw ``text``; return the left and top edge in pixels and an RGBA picture (alpha not premultiplied).

        Return ``None`` if none of ``text`` is visible.
        """
        look, box = self._style.look, self._area.box
        if look.upper_case:
            text = upper(text, self._language)
        size, texts = fit_text(text, self.shaper, self._style.size, box.width, box.height, look.reach)
        lines = [self.shaper.shape(line) for line in texts]
        if not any(line.glyphs for line in lines):
            return None
        middle = (box.left + box.right) / 2
        baselines = self._baselines(len(lines), size)
        pad = math.ceil(size * (look.reach + look.shadow_spread + 2 * look.shadow_blur + look.shadow_offset)) + 2
        widest = max(line.width for line in lines) * size
        left = max(0, math.floor(middle - widest / 2) - pad)
        right = min(self._area.width, math.ceil(middle + widest / 2) + pad)
        top = max(0, math.floor(baselines[0] - size * 1.15) - pad)
        bottom = min(self._area.height, math.ceil(baselines[-1] + size * 0.5) + pad)
        placed = [
            (glyph, middle - line.width * size / 2 - left + glyph.x * size, baseline - top - glyph.y * size)
            for line, baseline in zip(lines, baselines, strict=True)
            for glyph in line.glyphs
        ]
        plates = [
            _plate(line, middle - left, baseline - top, size, look.reach)
            for line, baseline in zip(lines, baselines, strict=True)
        ]
        return left, top, paint(placed, right - left, bottom - top, size, self._style, plates)

    def _baselines(self, count: int, size: float) -> list[float]:
        """Return the baselines of ``count`` lines, in pixels from the top of the frame."""
        box, reach = self._area.box, self._style.look.reach
        free = box.height - height_of(count, reach) * size
        above = {"top": 0.0, "middle": free / 2, "bottom": free}[self._area.anchor]
        first = box.top + above + (reach + ASCENT) * size
        return [first + LEADING * size * row for row in range(count)]


def upper(text: str, language: str | None) -> str:
    """Return ``text`` in capital letters; in Turkish and Azerbaijani, that of i has a dot."""
    if (language or "").lower()[:2] in ("tr", "az"):
        text = text.replace("i", "\u0130")
    return text.upper()


def _plate(
    line: ShapedLine, middle: float, baseline: float, size: float, reach: float
) -> tuple[float, float, float, float]:
    half = line.width * size / 2 + reach * size
    return middle - half, baseline - _PLATE_TOP * size, middle + half, baseline + _PLATE_BOTTOM * size
