"""The voices of espeak-ng that may read a text: by its language, or by the script it is written in."""

from __future__ import annotations

import unicodedata
from collections import Counter

#: Where espeak-ng's voice is not called as the language's tag.
_VOICES = {
    "en": "en-us",
    "es": "es-419",
    "pt": "pt-br",
    "zh": "cmn",
    "no": "nb",
    "iw": "he",
    "in": "id",
    "tl": "fil",
    "fr-fr": "fr",
}
#: By the first word of the Unicode names of a script's letters.
_SCRIPTS = {
    "ARABIC": "ar",
    "ARMENIAN": "hy",
    "BENGALI": "bn",
    "CJK": "cmn",
    "CYRILLIC": "ru",
    "DEVANAGARI": "hi",
    "GEORGIAN": "ka",
    "GREEK": "el",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "HANGUL": "ko",
    "HEBREW": "he",
    "HIRAGANA": "ja",
    "KANNADA": "kn",
    "KATAKANA": "ja",
    "MALAYALAM": "ml",
    "TAMIL": "ta",
    "TELUGU": "te",
    "THAI": "th",
}
#: What is tried for Latin letters, if the request names no language.
_LATIN = ("en-us", "es-419", "fr", "de", "it", "pt-br", "nl")
_UKRAINIAN, _PERSIAN, _URDU = frozenset("іїєґ"), frozenset("پچژگ"), frozenset("ٹڈڑےں")


def voices_for(text: str, language: str | None) -> list[str]:
    """Return the voices to try, the most likely first.

    Args:
        text: The lyrics.
        language: A BCP 47 tag, if the request has one. A voice of that name need not exist.
    """
    by_script = _voices_by_script(text)
    if language is None:
        return by_script
    tag = language.replace("_", "-").lower()
    primary = tag.split("-")[0]
    named = [_VOICES.get(tag, tag), _VOICES.get(primary, primary)]
    return list(dict.fromkeys(named + by_script[:1]))


def _voices_by_script(text: str) -> list[str]:
    letters = set(text.casefold())
    scripts = Counter(unicodedata.name(letter, "").split(" ")[0] for letter in text if letter.isalpha())
    if scripts["HIRAGANA"] + scripts["KATAKANA"]:
        return ["ja"]
    script = max(scripts, key=lambda name: scripts[name], default="LATIN")
    if script == "CYRILLIC" and letters & _UKRAINIAN:
        return ["uk"]
    if script == "ARABIC" and letters & (_PERSIAN | _URDU):
        return ["ur" if letters & _URDU else "fa"]
    return [_SCRIPTS[script]] if script in _SCRIPTS else list(_LATIN)
