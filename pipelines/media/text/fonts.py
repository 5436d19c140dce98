"""Choose the font for each character: Noto Sans for every script, Twemoji for coloured emoji.

The other fonts have letters of European languages; what they lack is drawn in Noto Sans.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uharfbuzz as hb

from schemas.caption_style import FontName

#: Weight of the letters unless a style has another one.
BOLD = 700
#: The file of Latin, Greek and Cyrillic letters, which have room for heavier strokes than it has; and by how much their
#: strokes grow for each unit of weight, in ems.
_LATIN = "NotoSans["
_HEAVIER = 0.00018
_FILES = Path(__file__).with_name("fonts")
_EMOJI_FILE = _FILES / "TwemojiCOLR.ttf"
_OWN_FILES = {
    "serif": _FILES / "SourceSerifPro-Bold.ttf",
    "rounded": _FILES / "FredokaOne-Regular.ttf",
    "condensed": _FILES / "FjallaOne-Regular.ttf",
}
_CJK_FILE = "NotoSansCJK-VF.otf.ttc"
#: Index of the face in the CJK collection by language: the same characters have other shapes in each.
_CJK_FACES = {"ja": 0, "ko": 1, "zh-hans": 2, "zh-hant": 3, "zh-hk": 4}
# Noto Sans first: it has the letters of most European languages. Then one font for each further script.
_NAMES = (
    "NotoSans",
    "NotoSansDevanagari",
    "NotoSansArabic",
    "NotoSansHebrew",
    "NotoSansThai",
    "NotoSansBengali",
    "NotoSansTamil",
    "NotoSansTelugu",
    "NotoSansGujarati",
    "NotoSansGurmukhi",
    "NotoSansKannada",
    "NotoSansMalayalam",
    "NotoSansOriya",
    "NotoSansSinhala",
    "NotoSansLao",
    "NotoSansKhmer",
    "NotoSansMyanmar",
    "NotoSansGeorgian",
    "NotoSansArmenian",
    "NotoSansEthiopic",
)

# Drawn as text in the caption's colour: their coloured glyphs are black, as the outline is, and would not be visible.
_BLACK_EMOJI = frozenset(map(ord, "\u25fc\u265f\u2712\u2714\u2716\u2734"))

# Characters of the BMP that are emoji without a variation selector (Emoji_Presentation, emoji-data.txt 15.1).
_BMP_EMOJI = (
    "\u231a\u231b\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2614\u2615\u2648-\u2653\u267f\u2693\u26a1\u26aa\u26ab\u26bd\u26be"
    "\u26c4\u26c5\u26ce\u26d4\u26ea\u26f2\u26f3\u26f5\u26fa\u26fd\u2705\u270a\u270b\u2728\u274c\u274e\u2753-\u2755\u2757"
    "\u2795-\u2797\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55"
)
_PICTURE = rf"(?:[{_BMP_EMOJI}\U0001f000-\U0001f1e5\U0001f200-\U0001faff]|[\u00a9\u00ae\u203c-\u3299](?=\ufe0f))"
_PART = rf"{_PICTURE}\ufe0f?[\U0001f3fb-\U0001f3ff]?[\U000e0020-\U000e007f]*"
#: One emoji as people see it: a flag, a keycap, or pictures joined by ZWJ (UTS #51, ED-17).
EMOJI = re.compile(
    rf"[\U0001f1e6-\U0001f1ff]{{2}}|[0-9#*]\ufe0f?\u20e3|{_PART}(?:\u200d(?:{_PART}|[\u203c-\u3299]\ufe0f?))*"
)


@dataclass(frozen=True, eq=False)
class Face:
    """One font, ready to shape and to draw. Its lengths are in font units, ``upem`` of which are one em."""

    font: hb.Font
    upem: int
    #: Returns whether the font has a glyph for a code point.
    covers: Callable[[int], bool]
    #: Whether its glyphs have their own colours.
    colored: bool


class Fonts:
    """Chooses a face per character. A font is loaded when a character first needs it."""

    def __init__(self, language: str | None, sample: str = "", weight: int = BOLD, font: FontName = "sans") -> None:
        """Choose between Japanese, Korean and Chinese shapes by the BCP 47 tag ``language``, or by ``sample``.

        ``weight`` is that of the letters of Noto Sans, from 100 (thin) to 900 (black).
        """
        self._own = _OWN_FILES.get(font)
        self._weight = weight
        self._cjk = _CJK_FACES[_cjk_language(language, sample)]
        self._chosen: dict[str, Face | None] = {}

    def emoji(self) -> Face:
        """Return the face of coloured emoji."""
        return _load(_EMOJI_FILE, 0, BOLD, colored=True)

    def covering(self, character: str) -> Face | None:
        """Return the face for ``character`` as text, or ``None`` if no font has it."""
        if character not in self._chosen:
            self._chosen[character] = self._search(character)
        return self._chosen[character]

    def _search(self, character: str) -> Face | None:
        code = ord(character)
        if self._own is not None and (own := _load(self._own, 0, BOLD)).covers(code):
            return own
        texts = Path(_folder("manimgx_fonts"))
        for name in _NAMES:
            face = _load(texts / f"{name}[wght].ttf", 0, self._weight)
            if face.covers(code):
                return face
        for path, index in (
            (Path(_folder("manimgx_fonts_cjk")) / _CJK_FILE, self._cjk),
            (texts / "NotoSansSymbols[wght].ttf", 0),
        ):
            face = _load(path, index, self._weight)
            if face.covers(code):
                return face
        if code not in _BLACK_EMOJI:
            return None
        return _load(texts / "NotoEmoji[wght].ttf", 0, self._weight, only=_BLACK_EMOJI)


def _cjk_language(language: str | None, sample: str) -> str:
    parts = (language or "").lower().replace("_", "-").split("-")
    if parts[0] in ("ja", "jpn"):
        return "ja"
    if parts[0] in ("ko", "kor"):
        return "ko"
    if parts[0] in ("zh", "zho", "yue", "chi", "cmn"):
        if "hk" in parts or "mo" in parts or parts[0] == "yue":
            return "zh-hk"
        return "zh-hant" if "tw" in parts or "hant" in parts else "zh-hans"
    if re.search("[\u3041-\u30ff]", sample):
        return "ja"
    return "ko" if re.search("[\u1100-\u11ff\uac00-\ud7af]", sample) else "zh-hans"


@functools.cache
def _folder(package: str) -> str:
    """Return the folder of an installed package of fonts, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the package {package} is not installed")
    return next(iter(spec.submodule_search_locations))


@functools.cache
def _load(path: Path, index: int, weight: int, *, colored: bool = False, only: frozenset[int] | None = None) -> Face:
    blob = hb.Blob.from_file_path(str(path))
    face = hb.Face(blob, index)
    font = hb.Font(face)
    if not colored:
        font.set_variations({"wght": weight})
        heaviest = max((axis.max_value for axis in face.axis_infos if axis.tag == "wght"), default=weight)
        if weight > heaviest and _LATIN in path.name:
            strokes = (weight - heaviest) * _HEAVIER
            font.synthetic_bold = (strokes, strokes, False)
    covered = only or face.unicodes
    return Face(font, face.upem, covered.__contains__, colored)
