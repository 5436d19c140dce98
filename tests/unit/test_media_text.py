"""Drawn captions: every script has its glyphs, and all text stays inside the safe area."""

from __future__ import annotations

import dataclasses
import unicodedata
from itertools import accumulate

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipelines.media.captions.pictures import CaptionPicture, caption_pictures
from pipelines.media.captions.placement import Caption
from pipelines.media.captions.word_groups import clean, group_words, words_of
from pipelines.media.layout import arrange, safe_box
from pipelines.media.text.bidi import levels, visual_order
from pipelines.media.text.caption_renderer import CaptionRenderer, upper
from pipelines.media.text.fitting import fit_text, wrap_text
from pipelines.media.text.fonts import EMOJI, Fonts
from pipelines.media.text.painting import Style
from pipelines.media.text.phrases import model_for, phrases
from pipelines.media.text.shaping import Shaper
from pipelines.media.text.wrapping import atoms, clusters, wrap
from schemas.caption_style import STYLES
from schemas.words import TimedWord

SCRIPTS = {
    "Latin": "Füße ångström",
    "Greek": "Καλημέρα",
    "Cyrillic": "Привет мир",
    "Devanagari": "नमस्ते क्षत्रिय श्री",
    "Arabic": "مرحبا بالعالم",
    "Hebrew": "שלום עולם",
    "Thai": "สวัสดี",
    "Japanese": "夜に駆ける",
    "Chinese": "你好，世界",
    "Korean": "안녕하세요",
    "Bengali": "নমস্কার",
    "Tamil": "வணக்கம்",
    "Telugu": "నమస్కారం",
    "Georgian": "გამარჯობა",
    "symbols": "♫ → ✓ ½ ™",
    "emoji": "🎉👨‍👩‍👧‍👦🇯🇵",
}


def renderer(
    width: int = 1080, height: int = 1920, size: float = 64, color: tuple[int, int, int] = (255, 255, 0)
) -> CaptionRenderer:
    return CaptionRenderer(arrange((width, height), width, height).captions, Style(size, color), Fonts(None))


def drawn(text: str, width: int = 1080, height: int = 1920, size: float = 64) -> tuple[int, int, NDArray[np.uint8]]:
    result = renderer(width, height, size).draw(text)
    assert result is not None
    return result[0], result[1], np.asarray(result[2])


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_has_its_glyphs(name: str) -> None:
    shaper = Shaper(Fonts(None, SCRIPTS[name]))
    line = shaper.shape(SCRIPTS[name])
    assert not shaper.missing
    assert line.width > 0
    assert all(glyph.index for glyph in line.glyphs)


def test_conjuncts_join_and_vowels_reorder_in_devanagari() -> None:
    shaper = Shaper(Fonts("hi"))
    # One ligature instead of ka, virama and ssa.
    assert len(shaper.shape("क्ष").glyphs) == 1
    # The vowel i is written before the consonant that it is spoken after.
    assert [glyph.index for glyph in shaper.shape("कि").glyphs][1] == shaper.shape("क").glyphs[0].index


def test_arabic_letters_join_and_run_from_right_to_left() -> None:
    shaper = Shaper(Fonts("ar"))
    joined, apart = shaper.shape("بب"), shaper.shape("ب ب")
    assert {glyph.index for glyph in joined.glyphs}.isdisjoint(
        {glyph.index for glyph in apart.glyphs} - {joined.glyphs[0].index}
    )
    assert joined.width < apart.width
    line = shaper.shape("ا ب")
    alef = shaper.shape("ا").glyphs[0].index
    assert max(line.glyphs, key=lambda glyph: glyph.x).index == alef


def test_numbers_and_brackets_keep_their_order_in_a_right_to_left_line() -> None:
    text = "שלום (abc) 12"
    order = visual_order(levels(text))
    assert (
        "".join(text[index] for index in order).replace("(", "<").replace(")", "(").replace("<", ")") == "12 (abc) םולש"
    )


def test_a_family_a_flag_and_a_keycap_are_one_picture_each() -> None:
    assert [match[0] for match in EMOJI.finditer("a👨‍👩‍👧‍👦🇯🇵🇫🇷1️⃣👍🏽🏴󠁧󠁢󠁥󠁮󠁧󠁿❤️12")] == [
        "👨‍👩‍👧‍👦",
        "🇯🇵",
        "🇫🇷",
        "1️⃣",
        "👍🏽",
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "❤️",
    ]
    assert len(Shaper(Fonts(None)).shape("👨‍👩‍👧‍👦🇯🇵👍🏽").glyphs) == 3


def test_emoji_are_in_colour() -> None:
    _, _, pixels = drawn("🍎")
    opaque = pixels[pixels[:, :, 3] == 255].astype(int)
    assert ((opaque[:, 0] > 180) & (opaque[:, 1] < 80)).sum() > 200


@pytest.mark.parametrize("text", ["\u2764", "\U0001fa77"])
def test_hearts_are_in_colour_without_a_selector_and_however_new_they_are(text: str) -> None:
    _, _, pixels = drawn(clean(text))
    opaque = pixels[pixels[:, :, 3] == 255].astype(int)
    yellow = (opaque[:, 0] > 240) & (opaque[:, 1] > 240) & (opaque[:, 2] < 20)
    assert ((opaque[:, 0] > 180) & ~yellow).sum() > 200
    assert not yellow.any()


def test_a_symbol_is_followed_by_an_ordinary_space() -> None:
    shaper = Shaper(Fonts(None))
    space = shaper.shape("a b").width - shaper.shape("ab").width
    for symbol in "\u2764\u2714\u2716":
        assert shaper.shape(symbol + " ").width - shaper.shape(symbol).width == pytest.approx(space, abs=0.01)


def test_ornamental_letters_are_drawn_as_plain_ones() -> None:
    shaper = Shaper(Fonts(None))
    assert shaper.shape("\U0001d4d7\U0001d4ee\U0001d4f5") == shaper.shape("Hel")
    assert not shaper.missing


def test_chinese_japanese_and_korean_have_their_own_shapes() -> None:
    def shape_of(language: str | None, sample: str = "") -> bytes:
        caption = CaptionRenderer(
            arrange((9, 16), 1080, 1920).captions, Style(100, (255, 255, 0)), Fonts(language, sample), "und"
        ).draw("直骨")
        assert caption is not None
        return caption[2].tobytes()

    assert len({shape_of("ja"), shape_of("zh"), shape_of("ko"), shape_of("zh-TW")}) >= 3
    assert shape_of(None, "ひらがな") == shape_of("ja")
    assert shape_of(None, "한글") == shape_of("ko")
    assert shape_of(None, "汉字") == shape_of("zh-CN") == shape_of("zh")


def test_a_character_that_no_font_has_is_left_out_and_noted() -> None:
    shaper = Shaper(Fonts(None))
    assert shaper.shape("a\U00013000b").width == pytest.approx(shaper.shape("ab").width)
    assert shaper.missing == {"\U00013000"}


def test_a_caption_without_visible_characters_is_not_drawn() -> None:
    assert renderer().draw("\u200e") is None


@pytest.mark.parametrize(
    "text",
    [
        "short",
        "many words " * 12,
        "Donaudampfschifffahrtsgesellschaftskapitänswitwe" * 3,
        "夜" * 120,
        "W" * 2000,
        "🎉" * 60,
    ],
)
@pytest.mark.parametrize(("width", "height"), [(1080, 1920), (270, 480), (640, 360)])
def test_captions_stay_inside_the_safe_area(text: str, width: int, height: int) -> None:
    left, top, pixels = drawn(text.strip(), width=width, height=height, size=64 * min(width, height) / 1080)
    rows, columns = np.nonzero(pixels[:, :, 3] > 200)
    safe = safe_box(width, height, "all")
    assert left + columns.min() >= safe.left
    assert left + columns.max() < safe.right
    assert top + rows.max() < safe.bottom
    assert top + rows.min() >= safe.top


def test_the_outline_is_dark_and_grows_with_the_size() -> None:
    def outline_area(size: int) -> int:
        _, _, pixels = drawn("I", size=size)
        return int(((pixels[:, :, 3] > 250) & (pixels[:, :, :3].max(axis=2) < 10)).sum())

    assert outline_area(120) > 3 * outline_area(60)


def test_dark_letters_get_a_light_outline() -> None:
    caption = renderer(color=(0, 0, 0)).draw("I")
    assert caption is not None
    pixels = np.asarray(caption[2])
    assert ((pixels[:, :, 3] > 250) & (pixels[:, :, :3].min(axis=2) > 245)).any()


def test_markup_is_drawn_as_letters() -> None:
    shaper = Shaper(Fonts(None))
    assert len(shaper.shape("<b>&amp;").glyphs) == 8


def test_lines_are_few_and_even() -> None:
    lines = wrap(atoms("one two three four five six seven eight"), lambda text: float(len(text)), 20)
    assert lines is not None
    assert len(lines) == 2
    assert abs(len(lines[0]) - len(lines[1])) <= 5


def test_only_a_word_that_is_too_wide_is_broken() -> None:
    text = "abcdefghijklmno of words with others"
    lines = wrap(atoms(text, breaks=lambda word: len(word) > 9), lambda part: float(len(part)), 9)
    assert lines is not None
    assert len(lines) > 2
    assert " ".join(lines).split()[-4:] == ["of", "words", "with", "others"]


@pytest.mark.parametrize("follows", ["one of the words that stay whole", "क्षत्रिय श्री ज्ञान"])
def test_a_long_word_does_not_break_its_neighbours(follows: str) -> None:
    lines = wrap_text(
        "Supercalifragilisticexpialidocious" * 2 + " " + follows, Shaper(Fonts(None)), 20.0, break_words=True
    )
    assert lines is not None
    assert set(follows.split()) <= set(" ".join(lines).split())


def test_no_line_begins_with_closing_punctuation() -> None:
    assert [atom.text for atom in atoms("夜「君と」に。")] == ["夜", "「君", "と」", "に。"]


LONG_LINES = {
    "th": "แสงอรุณส่องลงบนสายน้ำที่ไหลผ่านหมู่บ้านของเราในยามเช้าที่หนาวเย็นและเงียบสงบ",
    "zh-hans": "清晨的阳光落在河面上，我看见你的影子在水中轻轻摇晃，像一首没有唱完的歌",
    "zh-hant": "清晨的陽光落在河面上，我看見你的影子在水中輕輕搖晃，像一首沒有唱完的歌",
    "ja": "朝の光が川に降りそそぐ、君と歩いた道をもう一度だけ歩きたい、ゲームセンターで待ってる",
    "km": "ព្រះអាទិត្យរះលើទន្លេមេគង្គនៅពេលព្រឹកព្រលឹមខ្ញុំនឹកអ្នកខ្លាំងណាស់",
}


@pytest.mark.parametrize("name", LONG_LINES)
def test_a_long_line_without_spaces_breaks_between_phrases_at_full_size_reel_M4(name: str) -> None:
    text, shaper, box = LONG_LINES[name], Shaper(Fonts(None)), safe_box(1080, 1920, "all")
    size, lines = fit_text(text, shaper, 64, box.width, box.height, 0.075)
    assert size == 64
    assert 2 <= len(lines) <= 4
    ends = {end for _, end in phrases(text, model_for(text))}
    assert set(accumulate(map(len, lines))) <= ends
    assert all(unicodedata.combining(line[-1]) != 9 for line in lines)


def test_a_phrase_that_is_wider_than_a_line_is_broken_at_full_size_reel_M4() -> None:
    box = safe_box(1080, 1920, "all")
    size, lines = fit_text("コンピューターゲーム", Shaper(Fonts(None)), 150, box.width, box.height, 0.075)
    assert size == 150
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        pytest.param("Tu es où ?", 8, ["Tu es", "où ?"], id="F6-question"),
        pytest.param("oh « mon » ami", 7, ["oh", "« mon »", "ami"], id="F6-guillemets"),
        pytest.param("a lot: 10\u202f000 times\u00a0!", 10, ["a lot:", "10 000", "times !"], id="F6-no-break"),
        pytest.param("愛と 「恋」 。 夢", 5, ["愛と", "「恋」 。", "夢"], id="F6-japanese"),
        pytest.param("🎉 🎉 🎉 🎉", 3, ["🎉 🎉", "🎉 🎉"], id="F6-only-emoji-may-be-parted"),
        pytest.param("all\u00a0of\u00a0them", 6, ["all of", "them"], id="F6-too-wide-is-broken-at-its-spaces"),
        pytest.param("ខ្ញុំ\u200bសោកស្ដាយ\u200bណាស់", 13, ["ខ្ញុំ", "សោកស្ដាយណាស់"], id="F14-khmer"),
        pytest.param("one\u200btwo\u200bthree", 6, ["onetwo", "three"], id="F14-latin"),
        pytest.param("你好\u2060世界", 2, ["你", "好世", "界"], id="F14-joined-chinese"),
    ],
)
def test_lines_break_where_words_end(text: str, limit: int, expected: list[str]) -> None:
    def width(part: str) -> float:
        return float(len(part.replace("\u200b", "").replace("\u2060", "")))

    lines = wrap(atoms(text, breaks=lambda word: width(word) > limit), width, limit)
    assert lines is not None
    shown = [line.translate({0x200B: None, 0x2060: None, 0xA0: " ", 0x202F: " "}) for line in lines]
    assert shown == expected


@pytest.mark.parametrize("mark", ["\u200b", "\u2060"])
@pytest.mark.parametrize("text", ["ណាស់{}ដែល", "one{}two", "你{}好"])
def test_zero_width_characters_draw_nothing_fault_14(text: str, mark: str) -> None:
    shaper = Shaper(Fonts(None))
    marked, plain = shaper.shape(text.format(mark)), shaper.shape(text.format(""))
    assert marked.width == pytest.approx(plain.width)
    assert not shaper.missing


def test_a_zero_width_space_ends_an_arabic_word_fault_14() -> None:
    shaper = Shaper(Fonts(None))
    joined, parted, spaced = (
        [glyph.index for glyph in shaper.shape(text).glyphs] for text in ("بيتكبير", "بيت\u200bكبير", "بيت كبير")
    )
    space = shaper.shape("ا ا").glyphs[1].index
    assert [glyph for glyph in parted if glyph != space] == [glyph for glyph in spaced if glyph != space] != joined


def test_letters_stay_with_their_marks_when_a_word_is_broken() -> None:
    assert clusters("क्षि👨‍👩‍👧é") == ["क्षि", "👨‍👩‍👧", "é"]


def test_pictures_of_captions_are_the_same_each_time() -> None:
    one, other = drawn("Hello 🎉 नमस्ते")[2], drawn("Hello 🎉 नमस्ते")[2]
    assert Image.fromarray(one).tobytes() == Image.fromarray(other).tobytes()


WORDS = {
    "Latin": "So carry me",
    "upper": "Weiße Straße für diesen Kuß",
    "Devanagari": "मैं घर चला आया",
    "Arabic": "خذني إلى البيت",
    "Hebrew": "קח אותי 12 הביתה",
    "Thai": "แสงอรุณส่องลงบนแม่น้ำ",
    "Japanese": "家に連れて帰って「君と」",
    "glued": "où ? « Oui » dit‑il ! 10\u202f000",
    "long": "and all of the long way that leads us from here to the end of the night and then home again " * 3,
}


@pytest.mark.parametrize("script", WORDS)
@pytest.mark.parametrize(("upper_case", "grow"), [(False, 1.0), (True, 1.0), (True, 1.18)])
def test_the_word_that_is_sung_is_lit_and_only_that_one(script: str, upper_case: bool, grow: float) -> None:
    lyrics = WORDS[script].strip()
    groups, words = group_words(lyrics, 500), words_of(lyrics)
    timed = [TimedWord(word, index, index + 1, True) for index, word in enumerate(words)]
    captions = [Caption(groups[0].text, 0, 30 * len(words))]
    look = dataclasses.replace(
        STYLES["karaoke"], font_color="#00ff00", highlight_color="#ff0000", upper_case=upper_case, grow=grow
    )
    shown, pictures = caption_pictures(captions, groups, timed, look, fps=30, frames=30 * len(words), offset=0.0)
    assert [(caption.first, caption.end) for caption in shown] == [(30 * n, 30 * n + 30) for n in range(len(words))]
    drawing = CaptionRenderer(
        arrange((9, 16), 1080, 1920).captions, Style(72, (0, 255, 0), 255, look), Fonts(None, lyrics), pictures=pictures
    )
    red, rest, inks = np.zeros(1), np.zeros(1), []
    for caption in shown:
        drawn = drawing.draw(caption.text)
        assert drawn is not None
        pixels = np.asarray(drawn[2]).astype(int)
        red = (pixels[:, :, 0] > 250) & (pixels[:, :, 3] == 255)
        rest = (pixels[:, :, 1] > 160) & (pixels[:, :, 3] == 255)
        assert red.any(), caption.text
        assert not (red & rest).any()
        inks.append(red)
    # Each letter is part of one word; a larger word covers a little of its neighbours.
    assert (np.sum(inks, axis=0) > 1).mean() <= (0.001 if grow == 1 else 0.02)
    plain = drawing.draw(groups[0].text)
    assert plain is not None
    letters = np.asarray(plain[2])[:, :, 1] > 250
    assert grow > 1 or np.any(inks, axis=0)[letters].mean() > 0.97
    if script in ("Latin", "Arabic", "Hebrew"):
        first, last = (np.nonzero(ink)[1].mean() for ink in (inks[0], inks[-1]))
        assert bool(first < last) is (script == "Latin")


@pytest.mark.parametrize(
    ("text", "language", "capitals"),
    [
        ("ışık için", "tr", "IŞIK İÇİN"),
        ("ışık için", "en", "IŞIK IÇIN"),
        ("Πήγαινέ με, Μαΐου", "el", "ΠΗΓΑΙΝΕ ΜΕ, ΜΑΪΟΥ"),
        ("Straße café", None, "STRASSE CAFÉ"),
        ("नमस्ते 夜", "hi", "नमस्ते 夜"),
    ],
)
def test_capital_letters_follow_the_language(text: str, language: str | None, capitals: str) -> None:
    assert upper(text, language) == capitals


def test_words_before_and_after_the_one_that_is_sung_differ() -> None:
    pictures = {"name": CaptionPicture("one two three", ((0, 3), (4, 7), (8, 13)), 1)}
    drawn = CaptionRenderer(
        arrange((9, 16), 1080, 1920).captions,
        Style(72, (255, 255, 255), 255, STYLES["karaoke"]),
        Fonts(None),
        pictures=pictures,
    ).draw("name")
    assert drawn is not None
    pixels = np.asarray(drawn[2])
    white, yellow, grey = (255, 255, 255, 255), (255, 224, 0, 255), (178, 178, 178, 255)
    columns = [np.nonzero((pixels == color).all(axis=2))[1] for color in (white, yellow, grey)]
    assert all(part.size > 1000 for part in columns)
    assert np.median(columns[0]) < columns[1].min() < columns[1].max() < np.median(columns[2])
