"""Turn text into positioned glyphs: font fallback, bidirectional order, and shaping by HarfBuzz."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import uharfbuzz as hb

from pipelines.media.text.bidi import levels, visual_order
from pipelines.media.text.fonts import EMOJI, Face, Fonts
from pipelines.media.text.tokens import WORD_JOINER, ZERO_WIDTH_SPACE

#: Direction marks (U+200E, U+200F): they affect the order of the text and have no glyph.
_INVISIBLE = "\u200e\u200f"
#: HarfBuzz needs them between letters, and draws nothing for them.
_JOINERS = f"\u200c\u200d{WORD_JOINER}"


@dataclass(frozen=True, slots=True)
class Glyph:
    """One glyph of a shaped line. ``x`` and ``y`` are in ems from the line's left end on the baseline, y upward."""

    face: Face
    index: int
    x: float
    y: float
    #: Index in the text of the character that the glyph shows; of several, the first one.
    character: int
    #: Distance to the next glyph in ems; 0 for marks.
    advance: float


@dataclass(frozen=True, slots=True)
class ShapedLine:
    """The glyphs of a line and its width in ems."""

    glyphs: tuple[Glyph, ...]
    width: float


@dataclass(slots=True)
class _Run:
    text: str
    face: Face
    level: int
    #: Index in the line's text of each character of ``text``.
    characters: list[int]


class Shaper:
    """Shapes lines with one set of fonts. Results are cached, because wrapping measures the same words repeatedly."""

    def __init__(self, fonts: Fonts, language: str | None = None) -> None:
        self._fonts = fonts
        self._language = language
        self._lines: dict[str, ShapedLine] = {}
        #: Characters that no font has, and that are therefore not drawn.
        self.missing: set[str] = set()

    def shape(self, text: str) -> ShapedLine:
        """Shape ``text`` as one line. Characters that no font has are left out and added to ``missing``."""
        line = self._lines.get(text)
        if line is None:
            if len(self._lines) > 4096:
                self._lines.clear()
            line = self._lines[text] = self._shape(text)
        return line

    def _shape(self, text: str) -> ShapedLine:
        # Arabic letters join across U+200B, which ends a word; they do not across U+200C.
        text = text.replace(ZERO_WIDTH_SPACE, "\u200c")
        plain = [(part, index) for index, character in enumerate(text) for part in self._plain(character)]
        runs = self._runs("".join(part for part, _ in plain), [index for _, index in plain])
        glyphs: list[Glyph] = []
        x = 0.0
        for position in visual_order([run.level for run in runs]):
            x = self._shape_run(runs[position], x, glyphs)
        return ShapedLine(tuple(glyphs), x)

    def _plain(self, character: str) -> str:
        """Return ``character``, or its compatibility form (NFKC) if only that has a font: 𝓐 is drawn as A."""
        if unicodedata.decomposition(character)[:1] != "<" or self._fonts.covering(character):
            return character
        plain = unicodedata.normalize("NFKC", character)
        return plain if all(map(self._fonts.covering, plain)) else character

    def _runs(self, text: str, characters: list[int]) -> list[_Run]:
        """Return the runs of one font and one level, in logical order; each emoji is a run of its own."""
        level = levels(text)
        runs: list[_Run] = []
        position = 0
        while position < len(text):
            emoji = EMOJI.match(text, position)
            if emoji and self._fonts.emoji().covers(ord(emoji[0][0])):
                origins = characters[position : emoji.end()]
                runs.append(_Run(emoji[0], self._fonts.emoji(), level[position], origins))
                position = emoji.end()
                continue
            character = text[position]
            previous = runs[-1] if runs and not runs[-1].face.colored else None
            face = self._face_for(character, previous.face if previous else None)
            if face is not None:
                if previous and previous.face is face and previous.level == level[position]:
                    previous.text += character
                    previous.characters.append(characters[position])
                else:
                    runs.append(_Run(character, face, level[position], [characters[position]]))
            position += 1
        return runs

    def _face_for(self, character: str, previous: Face | None) -> Face | None:
        if character in _INVISIBLE or "\ufe00" <= character <= "\ufe0f" or "\U000e0020" <= character <= "\U000e007f":
            return None
        # Spaces, punctuation and marks are drawn with the font of the character before them, if it has them.
        joins = unicodedata.category(character)[0] in "MZP" or character in _JOINERS
        if joins and previous is not None and (previous.covers(ord(character)) or character in _JOINERS):
            return previous
        if character in _JOINERS:
            return None
        face = self._fonts.covering(character)
        if face is None and self._fonts.emoji().covers(ord(character)):
            face = self._fonts.emoji()
        if face is None:
            self.missing.add(character)
        return face

    def _shape_run(self, run: _Run, x: float, glyphs: list[Glyph]) -> float:
        buffer = hb.Buffer()
        buffer.add_str(run.text)
        buffer.guess_segment_properties()
        # An emoji sequence is one picture: it has no direction.
        buffer.direction = "rtl" if run.level % 2 and not run.face.colored else "ltr"
        if self._language:
            buffer.language = self._language.replace("_", "-")
        hb.shape(run.face.font, buffer, {"kern": True, "liga": True})
        upem = run.face.upem
        for info, place in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
            if info.codepoint:
                origin = run.characters[info.cluster]
                dx, dy, advance = (n / upem for n in (place.x_offset, place.y_offset, place.x_advance))
                glyphs.append(Glyph(run.face, info.codepoint, x + dx, dy, origin, advance))
                x += advance
        return x
