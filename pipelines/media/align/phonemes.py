"""Pronunciations in IPA as tokens of an acoustic model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from pipelines.media.align.espeak import pronounce

#: Marks of stress and syllables, which acoustic models have no tokens for.
_IGNORED = dict.fromkeys(map(ord, "ˈˌ.-_ \u200d"))
#: espeak-ng marks where it changes the language: ``(en)``. It names letters that it cannot read in English.
_NAMED = re.compile(r"\(en\).*?(\([a-z-]+\)|$)")
_LANGUAGE = re.compile(r"\([a-z-]+\)")
_LATIN = re.compile("[A-Za-z]")


def tokens_of(words: Sequence[str], voice: str, inventory: Mapping[str, int]) -> list[list[int]]:
    """Return the tokens of each word, as espeak-ng's ``voice`` pronounces it.

    A word without letters and digits, or without a pronunciation, has no tokens.

    Args:
        words: The words.
        voice: A voice of espeak-ng.
        inventory: The tokens of the model by their IPA text.

    Raises:
        ValueError: espeak-ng does not have the voice.
        OSError: espeak-ng is not installed, or it failed.
    """
    distinct = [word for word in dict.fromkeys(words) if any(map(str.isalnum, word))]
    spoken = dict(zip(distinct, pronounce(distinct, voice), strict=True))
    longest = max(map(len, inventory))
    return [_split(_read(word, spoken.get(word, "")), inventory, longest) for word in words]


def _read(word: str, ipa: str) -> str:
    """Return the pronunciation without marks of languages, and without names of letters that were not read."""
    return _LANGUAGE.sub("", ipa if _LATIN.search(word) else _NAMED.sub("", ipa))


def _split(ipa: str, inventory: Mapping[str, int], longest: int) -> list[int]:
    """Split ``ipa`` into the longest tokens of the inventory. A letter with an unknown mark counts as the letter."""
    text = ipa.translate(_IGNORED)
    tokens, at = [], 0
    while at < len(text):
        length = next((n for n in range(longest, 0, -1) if text[at : at + n] in inventory), 1)
        token = inventory.get(text[at : at + length], inventory.get(unicodedata.normalize("NFD", text[at])[0]))
        if token is not None:
            tokens.append(token)
        at += length
    return tokens
