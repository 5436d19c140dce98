"""Draw captions inside their area of the frame."""

from __future__ import annotations

import dataclasses
import math
import re
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from pipelines.media.captions.word_pictures import WordPicture
from pipelines.media.layout import CaptionArea
from pipelines.media.text.fitting import ASCENT, LEADING, fit_text, height_of
from pipelines.media.text.fonts import Fonts
from pipelines.media.text.painting import Placed, Style, paint, recolored
from pipelines.media.text.shaping import ShapedLine, Shaper
from schemas.caption_style import GROWTH

#: How far a plate reaches above and below the baseline of its line, in ems.
_PLATE_TOP, _PLATE_BOTTOM = 1.14, 0.44
# The accent of Greek letters, alone and as part of a capital letter.
_TONOS = re.compile("(?<=[\u0370-\u03ff\u0308])\u0301")
_WITHOUT_TONOS = str.maketrans("ΆΈΉΊΌΎΏ", "ΑΕΗΙΟΥΩ")
#: Number of captions to keep while their words are sung.
_RECENT = 4


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A caption in the colour of its style: its place in the frame, its pixels, and its glyphs with their origins."""

    left: int
    top: int
    pixels: Image.Image
    size: float
    placed: Placed
    #: Index in the caption of the character of each glyph.
    characters: list[int]


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
        pictures: Mapping[str, WordPicture] | None = None,
    ) -> None:
        """Draw in ``style``; ``pictures`` are the captions with a word that is sung, by their names."""
        self._area = area
        self._style = style
        self._language = language
        self._pictures = pictures or {}
        self.shaper = shaper or Shaper(fonts, language)
        self._lock = threading.Lock()
        #: The captions that were drawn last: the next picture is often the same caption with another word sung.
        self._recent: OrderedDict[str, _Drawn | None] = OrderedDict()

    def draw(self, text: str) -> tuple[int, int, Image.Image] | None:
        """Draw ``text``, or the picture with that name.

        Return the left and top edge in pixels and an RGBA picture (alpha not premultiplied), or ``None`` if none of
        ``text`` is visible.
        """
        picture = self._pictures.get(text)
        drawn = self._draw(text) if picture is None else self._caption(picture.text)
        if drawn is None:
            return None
        pixels = drawn.pixels if picture is None else self._with_word(drawn, picture)
        return drawn.left, drawn.top, pixels

    def _caption(self, text: str) -> _Drawn | None:
        with self._lock:
            if text in self._recent:
                return self._recent[text]
        drawn = self._draw(text)
        with self._lock:
            self._recent[text] = drawn
            while len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        return drawn

    def _with_word(self, drawn: _Drawn, picture: WordPicture) -> Image.Image:
        """Return the caption with the word that is sung and those to come in their colours."""
        spans = [(self._shown_length(picture.text[:a]), self._shown_length(picture.text[:b])) for a, b in picture.words]
        sung = spans[picture.sung]
        glyphs = list(zip(drawn.placed, drawn.characters, strict=True))
        singing = [glyph for glyph, at in glyphs if sung[0] <= at < sung[1]]
        if self._style.look.grow > 1:
            others = [glyph for glyph, at in glyphs if not sung[0] <= at < sung[1]]
            return self._grown(drawn, singing, others, self._shown(picture.text)[slice(*sung)])
        coming = [glyph for glyph, at in glyphs if at >= sung[1]]
        pixels = recolored(drawn.pixels, coming, drawn.size, self._style.coming, self._style.opacity)
        return recolored(pixels, singing, drawn.size, self._style.highlight, self._style.opacity)

    def _grown(self, drawn: _Drawn, singing: Placed, others: Placed, word: str) -> Image.Image:
        """Return the caption with the glyphs ``singing`` of ``word`` in the highlight's colour, and larger."""
        pixels = paint(others, *drawn.pixels.size, drawn.size, self._style)
        if singing:
            width = max(self.shaper.shape(word).width, 0.1)
            scale = min(self._style.look.grow, 1 + 2 * GROWTH / width)
            middle = min(x for _, x, _ in singing) + width * drawn.size / 2
            larger = [
                (glyph, middle + (x - middle) * scale, y + glyph.y * drawn.size * (1 - scale))
                for glyph, x, y in singing
            ]
            lit = dataclasses.replace(self._style, color=self._style.highlight)
            pixels.alpha_composite(paint(larger, *pixels.size, drawn.size * scale, lit))
        return pixels

    def _shown_length(self, text: str) -> int:
        return len(self._shown(text))

    def _shown(self, text: str) -> str:
        return upper(text, self._language) if self._style.look.upper_case else text

    def _draw(self, text: str) -> _Drawn | None:
        look, box = self._style.look, self._area.box
        text = self._shown(text)
        size, texts = fit_text(text, self.shaper, self._style.size, box.width, box.height, look.reach)
        lines = [self.shaper.shape(line) for line in texts]
        if not any(line.glyphs for line in lines):
            return None
        middle = (box.left + box.right) / 2
        rows = list(zip(lines, self._baselines(len(lines), size), strict=True))
        pad = math.ceil(size * (look.reach + look.shadow_spread + 2 * look.shadow_blur + look.shadow_offset)) + 2
        widest = max(line.width for line in lines) * size
        left = max(0, math.floor(middle - widest / 2) - pad)
        right = min(self._area.width, math.ceil(middle + widest / 2) + pad)
        top = max(0, math.floor(rows[0][1] - size * 1.15) - pad)
        bottom = min(self._area.height, math.ceil(rows[-1][1] + size * 0.5) + pad)
        placed = [
            (glyph, middle - line.width * size / 2 - left + glyph.x * size, baseline - top - glyph.y * size)
            for line, baseline in rows
            for glyph in line.glyphs
        ]
        plates = [_plate(line, middle - left, baseline - top, size, look.reach) for line, baseline in rows]
        pixels = paint(placed, right - left, bottom - top, size, self._style, plates)
        starts = _starts(text, texts)
        characters = [
            start + glyph.character for line, start in zip(lines, starts, strict=True) for glyph in line.glyphs
        ]
        return _Drawn(left, top, pixels, size, placed, characters)

    def _baselines(self, count: int, size: float) -> list[float]:
        """Return the baselines of ``count`` lines, in pixels from the top of the frame."""
        box, reach = self._area.box, self._style.look.reach
        free = box.height - height_of(count, reach) * size
        above = {"top": 0.0, "middle": free / 2, "bottom": free}[self._area.anchor]
        first = box.top + above + (reach + ASCENT) * size
        return [first + LEADING * size * row for row in range(count)]


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


def _plate(
    line: ShapedLine, middle: float, baseline: float, size: float, reach: float
) -> tuple[float, float, float, float]:
    half = line.width * size / 2 + reach * size
    return middle - half, baseline - _PLATE_TOP * size, middle + half, baseline + _PLATE_BOTTOM * size
