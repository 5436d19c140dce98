"""Draw captions inside their area of the frame."""

from __future__ import annotations

import math
import re
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence

from PIL import Image

from pipelines.media.captions.pictures import DOTS, CaptionPicture
from pipelines.media.layout import Anchor, Box, CaptionArea
from pipelines.media.text.coloring import Drawn, colored, pad_of, pills_behind, with_grown
from pipelines.media.text.emphasis import find_phrases
from pipelines.media.text.fitting import ASCENT, DESCENT, LEADING, NEXT_SIZE, fit_text, height_of
from pipelines.media.text.fonts import Fonts
from pipelines.media.text.painting import Color, Placed, Rectangle, Style, add_pills, bar, faded, paint, recolor
from pipelines.media.text.shaping import ShapedLine, Shaper

#: How far a plate reaches above and below the baseline of its line, in ems.
_PLATE_TOP, _PLATE_BOTTOM = 1.14, 0.44
#: The dots of a countdown, their size compared with that of the letters, and the brightness of those that are over.
_DOTS, _DOTS_SIZE, _DOT_OVER = "\u00a0".join("•" * DOTS), 1.5, 0.4
#: Opacity of the next caption.
_NEXT_OPACITY = 0.6
# The accent of Greek letters, alone and as part of a capital letter.
_TONOS = re.compile("(?<=[\u0370-\u03ff\u0308])\u0301")
_WITHOUT_TONOS = str.maketrans("ΆΈΉΊΌΎΏ", "ΑΕΗΙΟΥΩ")
#: Number of captions to keep while their words are sung.
_RECENT = 4

#: The left and top edge of a picture in the frame, in pixels, and the picture.
_Part = tuple[int, int, Image.Image]


class CaptionRenderer:
    """Draws captions for one area of a frame. Safe to use from several threads."""

    def __init__(
        self,
        area: CaptionArea,
        style: Style,
        fonts: Fonts,
        language: str | None = None,
        *,
        shaper: Shaper | None = None,
        pictures: Mapping[str, CaptionPicture] | None = None,
    ) -> None:
        """Draw in ``style``; ``pictures`` are those that show more than a caption, by their names."""
        self._area = area
        self.style = style
        self._language = language
        self._pictures = pictures or {}
        self.shaper = shaper or Shaper(fonts, language)
        self._lock = threading.Lock()
        #: The captions that were drawn last: the next picture is often the same caption with another word sung.
        self._recent: OrderedDict[tuple[str, str], tuple[Drawn | None, _Part | None]] = OrderedDict()

    def draw(self, text: str) -> _Part | None:
        """Draw ``text``, or the picture with that name.

        Return the left and top edge in pixels and an RGBA picture (alpha not premultiplied), or ``None`` if none of
        ``text`` is visible. Its rows are the only ones of the frame that change.
        """
        picture = self._pictures.get(text) or CaptionPicture(text)
        parts = list(self._parts(picture))
        if not parts:
            return None
        left, top, pixels = parts[0] if len(parts) == 1 else _merged(parts)
        return left, top, faded(pixels, self.style.opacity / 255)

    def _parts(self, picture: CaptionPicture) -> Iterator[_Part]:
        if picture.dots:
            dots = self._dots(picture.dots)
            if dots is not None:
                yield dots
        elif picture.text:
            drawn, following = self._caption(picture.text, picture.following)
            if drawn is not None:
                yield drawn.left, drawn.top, self._with_word(drawn, picture)
            if following is not None:
                yield following
        line = self._area.line
        if picture.progress is not None and line is not None:
            yield line.left, line.top, bar(line.width, line.height, picture.progress, self.style)

    def _caption(self, text: str, following: str) -> tuple[Drawn | None, _Part | None]:
        """Return the caption, and the next one, which is dimmed, below it."""
        with self._lock:
            if (text, following) in self._recent:
                return self._recent[text, following]
        slot, second, size = self._area.box, None, self.style.size
        if self.style.look.next_line:
            next_size, lines, height = self._fit_next(following)
            slot = slot._replace(bottom=slot.bottom - height)
        drawn = self._draw(text, *self._fit(text, size, slot.height), slot, self._area.anchor)
        if following and drawn is not None:
            below = slot._replace(top=round(drawn.bottom), bottom=round(drawn.bottom) + height)
            dimmed = self._draw(following, next_size, lines, below, "top")
            if dimmed is not None:
                pixels = faded(self._with_word(dimmed, CaptionPicture()), _NEXT_OPACITY)
                second = dimmed.left, dimmed.top, pixels
        with self._lock:
            self._recent[text, following] = drawn, second
            while len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        return drawn, second

    def _with_word(self, drawn: Drawn, picture: CaptionPicture) -> Image.Image:
        """Return the caption with the words that are sung and to come, and those with emphasis, in their colours."""
        look, style = self.style.look, self.style
        first, end = len(drawn.text), len(drawn.text)
        if picture.sung is not None:
            first, end = self._shown_span(picture.text, picture.words[picture.sung])
        emphasis = [self._shown_span(drawn.text, span) for span in find_phrases(drawn.text, look.emphasis)]
        colors: dict[Color, Placed] = {}
        singing: Placed = []
        for glyph, at in zip(drawn.placed, drawn.characters, strict=True):
            color = style.emphasis if any(start <= at < stop for start, stop in emphasis) else style.color
            if first <= at < end:
                singing.append(glyph)
                if look.grow > 1 or look.pill:
                    continue
                color = style.highlight
            elif at >= end and picture.sung is not None:
                color = style.dimmed(color, look.coming)
            colors.setdefault(color, []).append(glyph)
        if look.grow > 1 and singing:
            width = self.shaper.shape(self._shown(picture.text)[first:end]).width
            return with_grown(drawn, style, colors, singing, max(width, 0.1))
        pixels = colored(drawn, style, colors)
        if look.pill and singing:
            add_pills(pixels, pills_behind(drawn, singing), singing, drawn.size, style)
        return pixels

    def _dots(self, left: int) -> _Part | None:
        """Return the dots of a countdown, of which ``left`` are not over yet."""
        box, style, reach = self._area.box, self.style, self.style.look.reach
        if style.look.next_line:
            box = box._replace(bottom=box.bottom - self._fit_next("")[2])
        widest = box.width / (self.shaper.shape(_DOTS).width + 2 * reach)
        size = min(style.size * _DOTS_SIZE, widest, box.height / height_of(1, reach))
        drawn = self._draw(_DOTS, size, [_DOTS], box, self._area.anchor)
        if drawn is None:
            return None
        dots = [one for one, at in zip(drawn.placed, drawn.characters, strict=True) if _DOTS[at] == "•"]
        pixels = colored(drawn, style, {style.highlight: dots[:left]})
        recolor(pixels, dots[left:], size, style.dimmed(style.color, _DOT_OVER))
        return drawn.left, drawn.top, pixels

    def _shown_span(self, text: str, span: tuple[int, int]) -> tuple[int, int]:
        """Return where a part of ``text`` is in what is drawn."""
        return len(self._shown(text[: span[0]])), len(self._shown(text[: span[1]]))

    def _shown(self, text: str) -> str:
        return upper(text, self._language) if self.style.look.upper_case else text

    def _fit(self, text: str, size: float, height: float) -> tuple[float, list[str]]:
        """Return the em size, at most ``size``, and the lines of ``text`` in a part of the area of that height."""
        return fit_text(self._shown(text), self.shaper, size, self._area.box.width, height, self.style.look.reach)

    def _fit_next(self, text: str) -> tuple[float, list[str], int]:
        """Return the em size and the lines of the next caption, and its height; those of one line if there is none."""
        size, lines = self._fit(text or "1", self.style.size * NEXT_SIZE, self._area.box.height / 2)
        return size, lines, math.ceil(height_of(len(lines), self.style.look.reach) * size)

    def _draw(self, text: str, size: float, texts: Sequence[str], box: Box, anchor: Anchor) -> Drawn | None:
        look = self.style.look
        lines = [self.shaper.shape(line) for line in texts]
        if not any(line.glyphs for line in lines):
            return None
        middle = (box.left + box.right) / 2
        rows = list(zip(lines, self._baselines(len(lines), size, box, anchor), strict=True))
        pad = pad_of(self.style, size)
        widest = max(line.width for line in lines) * size
        left = max(0, math.floor(middle - widest / 2) - pad)
        right = min(self._area.width, math.ceil(middle + widest / 2) + pad)
        top = max(0, math.floor(rows[0][1] - size * 1.15) - pad)
        bottom = min(self._area.height, math.ceil(rows[-1][1] + size * 0.5) + pad)
        shown = self._shown(text)
        starts = _starts(shown, texts)
        letters = [
            (glyph, middle - line.width * size / 2 - left, baseline - top, start + glyph.character)
            for (line, baseline), start in zip(rows, starts, strict=True)
            for glyph in line.glyphs
            if not shown[start + glyph.character :][:1].isspace()
        ]
        placed = [(glyph, x + glyph.x * size, y - glyph.y * size) for glyph, x, y, _ in letters]
        plates = [_plate(line, middle - left, baseline - top, size, look.reach) for line, baseline in rows]
        pixels = paint(placed, right - left, bottom - top, size, self.style, plates)
        end = rows[-1][1] + (DESCENT + look.reach) * size
        return Drawn(text, left, top, pixels, size, placed, [at for *_, at in letters], plates, end)

    def _baselines(self, count: int, size: float, box: Box, anchor: Anchor) -> list[float]:
        """Return the baselines of ``count`` lines in ``box``, in pixels from the top of the frame."""
        reach = self.style.look.reach
        free = box.height - height_of(count, reach) * size
        above = {"top": 0.0, "middle": free / 2, "bottom": free}[anchor]
        first = box.top + above + (reach + ASCENT) * size
        return [first + LEADING * size * row for row in range(count)]


def _merged(parts: Sequence[_Part]) -> _Part:
    """Return ``parts`` as one picture."""
    left, top = min(x for x, _, _ in parts), min(y for _, y, _ in parts)
    right, bottom = max(x + one.width for x, _, one in parts), max(y + one.height for _, y, one in parts)
    merged = Image.new("RGBA", (right - left, bottom - top))
    for x, y, pixels in parts:
        merged.alpha_composite(pixels, (x - left, y - top))
    return left, top, merged


def _starts(text: str, lines: Sequence[str]) -> list[int]:
    """Return the index in ``text`` at which each of its lines begins: spaces between two lines are in neither."""
    starts, at = [], 0
    for line in lines:
        while text[at : at + 1].isspace():
            at += 1
        starts.append(at)
        at += len(line)
    return starts


def upper(text: str, language: str | None) -> str:
    """Return ``text`` in capital letters: Turkish and Azerbaijani have a dotted I, Greek no accents."""
    if (language or "").lower()[:2] in ("tr", "az"):
        text = text.replace("i", "\u0130")
    capitals = _TONOS.sub("", text.upper()).translate(_WITHOUT_TONOS)
    return unicodedata.normalize("NFC", capitals)


def _plate(line: ShapedLine, middle: float, baseline: float, size: float, reach: float) -> Rectangle:
    half = line.width * size / 2 + reach * size
    return middle - half, baseline - _PLATE_TOP * size, middle + half, baseline + _PLATE_BOTTOM * size
