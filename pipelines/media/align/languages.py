"""The voices of espeak-ng that may read a text: by its language, its script, or the frequent words in it."""

from __future__ import annotations

import re
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
#: What is tried for Latin letters, if the request names no language: the voices, and frequent words of their languages.
_LATIN = {
    "en-us": "the and you i to my of it me that is in we are your with for on when this be all",
    "es-419": "que de el la y en no es un los se por mi una con lo las muy yo me te tu del al",
    "fr": "le la les de et je tu est pas un une des dans que pour qui mes moi me te ne il en du",
    "de": "der die das und ich du ist nicht ein in zu mir mich wir auf den mit es so wie dich",
    "it": "che di il la e non un per mi me una con sono sei del ti tu lo i nella si ma è",
    "pt-br": "que de o a e não um uma os do da em com eu me no você se por é as para",
    "nl": "de het een en ik je niet van is dat in mijn op met we voor te zijn ben maar",
}
_FREQUENT = {voice: frozenset(words.split()) for voice, words in _LATIN.items()}
#: How many different words a language needs that another has not, and how many times as many as that other one has.
_DECIDING, _TIMES = 4, 3
_WORD = re.compile(r"[^\W\d_]+")
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
    return [_SCRIPTS[script]] if script in _SCRIPTS else _voices_by_words(text)


def _voices_by_words(text: str) -> list[str]:
    """Return the voice whose language the frequent words of the text decide for, or all if they decide for none.

    Words that two languages share do not count between them, and a word that is repeated counts once.
    """
    words = set(_WORD.findall(unicodedata.normalize("NFC", text).casefold()))
    found = {voice: frequent & words for voice, frequent in _FREQUENT.items()}
    best = max(found, key=lambda voice: len(found[voice]))
    for other in found.keys() - {best}:
        against = len(found[other] - _FREQUENT[best])
        if len(found[best] - _FREQUENT[other]) < max(_DECIDING, _TIMES * against):
            return list(_LATIN)
    return [best]
