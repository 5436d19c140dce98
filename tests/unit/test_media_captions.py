"""Groups of words, placement of captions, and the caption files."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from pipelines.media.captions.files import format_srt, format_vtt
from pipelines.media.captions.placement import Caption, Span, place, spread_evenly
from pipelines.media.captions.word_groups import clean, group_words, words_of
from schemas.errors import LyricsTooLong


def put(
    spans: list[Span], duration: float = 10.0, offset: float = 0.0, least: float = 0.0, debug: bool = False
) -> list[Caption]:
    return place(
        spans, duration=duration, fps=30, frames=round(duration * 30), offset=offset, min_duration=least, debug=debug
    )


def test_groups_never_cross_a_line() -> None:
    assert [group.text for group in group_words("a b c d\n\n e  f", 3)] == ["a b c", "d", "e f"]


def test_headings_are_words_like_others() -> None:
    assert [group.text for group in group_words("[Verse 1]\nhello", 3)] == ["[Verse 1]", "hello"]


def test_japanese_is_cut_into_phrases() -> None:
    assert [group.text for group in group_words("夜に駆ける君と", 1)] == ["夜に", "駆ける", "君と"]


def test_chinese_is_cut_into_pairs_and_keeps_its_punctuation() -> None:
    assert [group.text for group in group_words("你好世界，再见", 1)] == ["你好", "世界，", "再见"]


def test_korean_and_hindi_are_cut_at_spaces() -> None:
    assert [group.text for group in group_words("안녕하세요 세계", 1)] == ["안녕하세요", "세계"]
    assert [group.text for group in group_words("नमस्ते दुनिया", 1)] == ["नमस्ते", "दुनिया"]


def test_thai_is_cut_without_splitting_a_letter_from_its_marks() -> None:
    for group in group_words("สวัสดีชาวโลกที่นี่ที่รัก", 1):
        assert group.text[0] not in "ิีึืุู่้๊๋์ะา"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param("Tu es où ?", ["Tu", "es", "où ?"], id="F6-french"),
        pytest.param("Et alors : quoi !", ["Et", "alors :", "quoi !"], id="F6-french-colon"),
        pytest.param("I love you — always", ["I", "love", "you —", "always"], id="F6-dash"),
        pytest.param("— Oui … non", ["— Oui …", "non"], id="F6-dialogue"),
        pytest.param("♪ La la la ♪", ["♪ La", "la", "la ♪"], id="F6-notes"),
        pytest.param("hey ♪ la la ♪ you", ["hey", "♪ la", "la ♪", "you"], id="F6-notes-within"),
        pytest.param("« Oui » dit-il « non »", ["« Oui »", "dit-il", "« non »"], id="F6-guillemets"),
        pytest.param("„ Ja “ sagt er", ["„ Ja “", "sagt", "er"], id="F6-german-quotes"),
        pytest.param('say " yes " ( or no )', ["say", '" yes "', "( or", "no )"], id="F6-straight-quotes"),
        pytest.param("dime ¿ qué ?", ["dime", "¿ qué ?"], id="F6-spanish"),
        pytest.param("هل تحبني ؟ نعم ، نعم", ["هل", "تحبني ؟", "نعم ،", "نعم"], id="F6-arabic"),
        pytest.param("愛 。 君は「恋」と言う 、", ["愛 。", "君は", "「恋」", "と", "言う 、"], id="F6-japanese"),
        pytest.param("yeah 🎉 yeah 🇫🇷 👨‍👩‍👧", ["yeah 🎉", "yeah 🇫🇷 👨‍👩‍👧"], id="F6-emoji"),
        pytest.param("🎉 🎉", ["🎉 🎉"], id="F6-emoji-alone"),
        pytest.param("fois\u00a0! 10\u202f000 a\u00a0 b", ["fois\u00a0!", "10\u202f000", "a", "b"], id="F6-no-break"),
        pytest.param("ខ្ញុំ\u200bសោកស្ដាយ\u200bណាស់ ។", ["ខ្ញុំ", "សោកស្ដាយ", "ណាស់ ។"], id="F14-khmer"),
        pytest.param("ประชาธิปไตย\u200bอินเทอร์เน็ต\u200b", ["ประชาธิปไตย", "อินเทอร์เน็ต"], id="F14-thai"),
        pytest.param("one\u200btwo \u200b three", ["one", "two", "three"], id="F14-latin"),
        pytest.param("你\u2060好世\ufeff界我", ["你\u2060好世\u2060界我"], id="F14-joined-chinese"),
        pytest.param("a\u2060b \ufeffc to\u2060 morrow", ["ab", "c", "to\u00a0morrow"], id="F14-joined"),
        pytest.param("Donau\u00addampf\u00adschiff", ["Donaudampfschiff"], id="F14-soft-hyphen"),
        pytest.param("می\u200cخواهم क्\u200dष", ["می\u200cخواهم", "क्\u200dष"], id="F14-shaping-joiners-stay"),
    ],
)
def test_marks_belong_to_a_word_and_invisible_characters_say_where_words_end(line: str, words: list[str]) -> None:
    assert words_of(line) == words
    assert [group.text for group in group_words(line, 1)] == words


def test_control_characters_and_direction_overrides_are_removed() -> None:
    assert clean("a\x00b\x1b[31m\u202ec\u2066d\ue000 \t x\u200d") == "ab[31mcd x\u200d"


def test_characters_newer_than_python_s_unicode_tables_are_kept() -> None:
    assert clean("pink \U0001fa77 shaking \U0001fae8\ufdd0\ufffe\U0001ffff") == "pink \U0001fa77 shaking \U0001fae8"


def test_words_get_equal_shares_of_the_time() -> None:
    spans = spread_evenly(group_words("a b c\nd", 3), 8.0)
    assert [(span.start, span.end) for span in spans] == [(0.0, 6.0), (6.0, 8.0)]


def test_a_short_caption_stays_as_long_as_the_next_one_allows() -> None:
    captions = put([Span("a", 0, 0.2), Span("b", 0.5, 0.7), Span("c", 5, 5.1)], least=1.0)
    assert [(c.first, c.end) for c in captions] == [(0, 15), (15, 45), (150, 180)]


def test_an_offset_shifts_and_cuts_at_both_ends() -> None:
    spans = [Span("a", 0, 2), Span("b", 2, 4), Span("c", 8, 10)]
    assert [(c.text, c.first, c.end) for c in put(spans, offset=-3)] == [("b", 0, 30), ("c", 150, 210)]
    assert [(c.text, c.first, c.end) for c in put(spans, offset=3)] == [("a", 90, 150), ("b", 150, 210)]
    assert put(spans, offset=60) == []


def test_debug_captions_begin_with_their_start_time() -> None:
    assert [c.text for c in put([Span("a", 2.5, 4)], debug=True)] == ["[2.5s] a"]


def test_a_debug_caption_in_arabic_still_runs_from_right_to_left() -> None:
    assert put([Span("مرحبا", 0, 4)], debug=True)[0].text == "\u200f[0.0s] مرحبا"


def test_a_caption_shorter_than_a_frame_is_refused() -> None:
    with pytest.raises(LyricsTooLong, match=r"1,000 captions in 10\.0 s"):
        put(spread_evenly(group_words("\n".join("x" * 1000), 1), 10.0))


@given(
    st.lists(st.integers(1, 8), min_size=1, max_size=40),
    st.floats(5, 300),
    st.floats(-20, 20),
    st.floats(0, 5),
)
def test_captions_never_overlap_nor_leave_the_video(
    counts: list[int], duration: float, offset: float, least: float
) -> None:
    lyrics = "\n".join(" ".join(["la"] * count) for count in counts)
    captions = (
        put(spread_evenly(group_words(lyrics, 3), duration), duration, offset, least)
        if sum(counts) < duration * 10
        else []
    )
    position = 0
    for caption in captions:
        assert position <= caption.first < caption.end <= round(duration * 30)
        position = caption.end


def test_subtitle_times_are_the_start_times_of_frames() -> None:
    captions = [Caption("a", 0, 1), Caption("b & <i>c</i> --> d", 107999, 108001)]
    assert format_srt(captions, 30) == (
        "1\n00:00:00,000 --> 00:00:00,033\na\n\n2\n00:59:59,967 --> 01:00:00,033\nb & <i>c</i> --> d\n"
    )
    assert format_vtt(captions, 30) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:00.033\na\n\n"
        "00:59:59.967 --> 01:00:00.033\nb &amp; &lt;i&gt;c&lt;/i&gt; --&gt; d\n"
    )
