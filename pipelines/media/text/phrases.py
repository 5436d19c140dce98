"""Cut text that is written without spaces into phrases: Chinese, Japanese and Thai with the models of BudouX.

Lao, Khmer and Myanmar are cut into pieces of a few letters.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import TYPE_CHECKING

from pipelines.media.text.tokens import WORD_JOINER

if TYPE_CHECKING:
    import budoux

#: Longest phrase in characters: syllables that repeat, and laughter, have no phrases.
_PHRASE_LENGTH = 16
#: Longest piece in characters that Lao, Khmer and Myanmar text is cut into: its word boundaries are unknown.
_UNSPACED_LENGTH = 6
#: The same where zero-width spaces mark the words: longer than any word, shorter than a line with one stray mark.
_MARKED_LENGTH = 30
_HAN = r"\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = r"\u3041-\u309f\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_SOUTH_EAST_ASIAN = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
#: The characters of the scripts that write no spaces, for use in a regular expression.
WITHOUT_SPACES = rf"[{_HAN}{_KANA}{_SOUTH_EAST_ASIAN}]"
_OPENING = r"「『（【《〈〔［｛“‘«‹(\[{¿¡"
# What is longer than a phrase is cut into kanji with the hiragana after them, in Chinese into two characters each, and
# into runs of katakana.
_CJK_PIECE = re.compile(
    rf"[{_HAN}]{{1,3}}[\u3041-\u309f]{{1,3}}|[{_HAN}]{{1,2}}|[\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f]{{1,8}}"
    rf"|[\u3041-\u309f]{{1,4}}|[{_OPENING}]+|[^{_HAN}{_KANA}{_OPENING}]+"
)
CJK = re.compile(rf"[{_HAN}{_KANA}]")
#: The same with the punctuation of these scripts.
_CJK_OR_MARK = re.compile(rf"[\u3000-\u303f\uff00-\uff65{_HAN}{_KANA}]")
_ONLY_KANA = re.compile(rf"[{_KANA}]")
_THAI = re.compile(r"[\u0e01-\u0e5b]")
_UNSPACED = re.compile(rf"[{_SOUTH_EAST_ASIAN}]")
#: Vowels written before the consonant that they follow in speech: a piece may begin with one.
_LEADING_VOWELS = frozenset("เแโใไເແໂໃໄ")
#: The share of kana from which a text is Japanese: Chinese texts use a の here and there.
_JAPANESE = 0.05
#: Characters that must not begin, and that must not end, a line in Chinese and Japanese typesetting.
NOT_FIRST = frozenset("、。，．・：；？！」』）】》〉〕］｝”’ー々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ…‥%)]},.!?;:")
NOT_LAST = frozenset("「『（【《〈〔［｛“‘([{")

_Spans = list[tuple[int, int]]


def model_for(text: str) -> str | None:
    """Return the name of the model for the Chinese or Japanese in ``text``; ``None`` if there is none."""
    letters = "".join(CJK.findall(text))
    if not letters:
        return None
    if len(_ONLY_KANA.findall(letters)) >= _JAPANESE * len(letters):
        return "ja"
    # Each character set has the characters of one of the two ways to write Chinese, and those that both share.
    simplified, traditional = (len(letters.encode(charset, "ignore")) for charset in ("gb2312", "big5"))
    return "zh-hant" if traditional > simplified else "zh-hans"


def phrases(word: str, model: str | None, *, marked: bool = False) -> _Spans:
    """Return the spans of the phrases of ``word``, which contains no spaces. Other scripts are not cut.

    ``model`` cuts Chinese and Japanese. ``marked`` says that zero-width spaces mark the words of South-East Asian text.
    """
    if CJK.search(word):
        # The models do not know joiners, which keep letters together that they would cut.
        return _cut_cjk(word) if model is None or WORD_JOINER in word else _short(word, _cut(word, model))
    if not _UNSPACED.search(word) or (marked and len(word) <= _MARKED_LENGTH):
        return [(0, len(word))]
    return _short(word, _cut(word, "th")) if _THAI.search(word) else _cut_unspaced(word)


def _cut(word: str, model: str) -> _Spans:
    """Return the phrases that the model finds, without cuts where no line may break or within another script."""
    letters = _THAI if model == "th" else _CJK_OR_MARK
    spans, start, end = [], 0, 0
    for chunk in _parser(model).parse(word):
        end += len(chunk)
        if end == len(word) or _may_cut(word, end, letters):
            spans.append((start, end))
            start = end
    return _paired(word, spans) if model.startswith("zh") else spans


def _may_cut(text: str, at: int, letters: re.Pattern[str]) -> bool:
    before, after = text[at - 1], text[at]
    if before in NOT_LAST or after in NOT_FIRST or unicodedata.category(after)[0] == "M" or "\u200d" in (before, after):
        return False
    return bool(letters.match(before) or letters.match(after))


def _paired(text: str, spans: _Spans) -> _Spans:
    """Join two single letters in a row: the models cut some Chinese words of two letters in between."""
    joined: _Spans = []
    for start, end in spans:
        alone = len(CJK.findall(text[start:end])) == 1
        if alone and joined and joined[-1][1] - joined[-1][0] == 1 and CJK.match(text[start - 1]):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _short(word: str, spans: _Spans) -> _Spans:
    """Return ``spans`` with those cut that are longer than a phrase."""
    return [
        (first + start, first + end)
        for first, last in spans
        for start, end in (_pieces(word[first:last]) if last - first > _PHRASE_LENGTH else [(0, last - first)])
    ]


def _pieces(text: str) -> _Spans:
    return _cut_cjk(text) if CJK.search(text) else _cut_unspaced(text)


def _cut_cjk(text: str) -> _Spans:
    return [match.span() for match in _CJK_PIECE.finditer(text)]


def _cut_unspaced(word: str) -> _Spans:
    if len(word) <= _UNSPACED_LENGTH:
        return [(0, len(word))]
    spans = []
    start = 0
    for index in range(1, len(word)):
        length, before, after = index - start, word[index - 1], word[index]
        # A virama (combining class 9) makes one letter of those around it.
        joined = unicodedata.category(after)[0] == "M" or after in "ะาำๅຳາະ" or unicodedata.combining(before) == 9
        if (length >= 3 and after in _LEADING_VOWELS) or (
            length >= _UNSPACED_LENGTH and not joined and before not in _LEADING_VOWELS
        ):
            spans.append((start, index))
            start = index
    spans.append((start, len(word)))
    return spans


@functools.cache
def _parser(model: str) -> budoux.Parser:
    import budoux

    load = {
        "ja": budoux.load_default_japanese_parser,
        "zh-hans": budoux.load_default_simplified_chinese_parser,
        "zh-hant": budoux.load_default_traditional_chinese_parser,
        "th": budoux.load_default_thai_parser,
    }
    return load[model]()
