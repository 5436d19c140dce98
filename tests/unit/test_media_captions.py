"""Groups of words, placement of captions, and the caption files."""

from __future__ import annotations

from itertools import pairwise

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


@pytest.mark.parametrize(
    ("line", "most", "groups"),
    [
        pytest.param("a b c d", 3, ["a b", "c d"], id="M2-4-of-3"),
        pytest.param("a b c d e", 3, ["a b c", "d e"], id="M2-5-of-3"),
        pytest.param("a b c d e f g", 3, ["a b c", "d e", "f g"], id="M2-7-of-3"),
        pytest.param("a b c d e f", 5, ["a b c", "d e f"], id="M2-6-of-5"),
        pytest.param("a b c d e f g h i j k", 5, ["a b c d", "e f g h", "i j k"], id="M2-11-of-5"),
        pytest.param("a b c d e f", 3, ["a b c", "d e f"], id="M2-6-of-3"),
        pytest.param("alone", 3, ["alone"], id="M2-1-of-3"),
        pytest.param("Oh yes, I love you", 3, ["Oh yes,", "I love you"], id="M2-comma"),
        pytest.param("Hello, my old friend", 3, ["Hello, my", "old friend"], id="M2-no-orphan-for-a-comma"),
        pytest.param("a b c, d e f g h", 5, ["a b c,", "d e f g h"], id="M2-comma-of-5"),
        pytest.param("Tu es où ? Je suis là", 4, ["Tu es où ?", "Je suis là"], id="M2-french"),
        pytest.param("वह गया। मैं भी चला", 3, ["वह गया।", "मैं भी चला"], id="M2-danda"),
        pytest.param("(oh yes) we can dance", 3, ["(oh yes)", "we can dance"], id="M2-brackets"),
        pytest.param(
            "清晨的阳光落在河面上，我看见你的影子", 3, ["清晨的阳光落", "在河面上，", "我看见", "你的影子"], id="M3-zh"
        ),
        pytest.param("朝の光が川に降りそそぐ、君と", 3, ["朝の光が川に", "降りそそぐ、君と"], id="M3-ja"),
        pytest.param("แสงอรุณส่องลงบนสายน้ำ", 3, ["แสงอรุณส่องลงบน", "สายน้ำ"], id="M3-th"),
    ],
)
def test_groups_are_as_even_as_can_be_and_end_at_punctuation_reel(line: str, most: int, groups: list[str]) -> None:
    assert [group.text for group in group_words(line, most, balanced=True)] == groups


@given(st.integers(1, 60), st.integers(1, 12))
def test_groups_are_as_few_as_before_and_differ_by_one_word_reel_M2(count: int, most: int) -> None:
    lyrics = " ".join(["la"] * count)
    sizes = [group.count for group in group_words(lyrics, most, balanced=True)]
    assert sum(sizes) == count
    assert len(sizes) == len(group_words(lyrics, most))
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("line", "phrases"),
    [
        pytest.param("清晨的阳光落在河面上，", "清晨 的 阳光落 在 河面 上，", id="M3-simplified"),
        pytest.param("清晨的陽光落在河面上，", "清晨 的 陽光落 在 河面 上，", id="M3-traditional"),
        pytest.param("朝の光が川に降りそそぐ、", "朝の 光が 川に 降りそそぐ、", id="M3-ja"),
        pytest.param("แสงอรุณส่องลงบน", "แสงอรุณ ส่อง ลงบน", id="M3-th"),
        pytest.param("月亮代表我的心", "月亮 代表 我的 心", id="M3-pairs"),
        pytest.param("愛してるbaby一緒に", "愛してる baby 一緒に", id="M3-mixed"),
        pytest.param("「愛してる」と君が言う", "「愛してる」と 君が 言う", id="M3-quotes"),
    ],
)
def test_scripts_without_spaces_are_cut_between_phrases_reel(line: str, phrases: str) -> None:
    assert words_of(line) == phrases.split()


@pytest.mark.parametrize("text", ["ああ" * 40, "哈" * 80, "ลา" * 40, "アイウ" * 30])
def test_syllables_that_repeat_are_cut_too(text: str) -> None:
    assert "".join(words_of(text)) == text
    assert max(map(len, words_of(text))) <= 16


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
        pytest.param("愛 。 君は「恋」と言う 、", ["愛 。", "君は", "「恋」と", "言う 、"], id="F6-japanese"),
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


@pytest.mark.parametrize(
    ("gap", "closed"), [(0.02, True), (0.06, True), (0.3, True), (0.5, True), (0.6, False), (3.0, False)]
)
@pytest.mark.parametrize("fps", [24, 30, 1000])
def test_a_caption_stays_over_a_gap_of_half_a_second_reel_H2(gap: float, closed: bool, fps: int) -> None:
    spans = [Span("a", 1.0, 2.0), Span("b", 2.0 + gap, 3.0 + gap)]
    one, other = place(spans, duration=10.0, fps=fps, frames=10 * fps, offset=0.25, min_duration=0.0, debug=False)
    assert (one.end == other.first) == closed
    assert other.first == round((2.25 + gap) * fps)
    assert closed or one.end == round(2.25 * fps)


@given(st.lists(st.tuples(st.floats(0.05, 1.5), st.floats(0.05, 2.0)), min_size=2, max_size=30), st.floats(0, 2))
def test_no_gap_between_captions_is_half_a_second_or_less_reel_H2(
    steps: list[tuple[float, float]], least: float
) -> None:
    spans, at = [], 0.0
    for length, gap in steps:
        spans.append(Span("a", at, at + length))
        at += length + gap
    captions = put(spans, duration=at + 5, least=least)
    assert all(not 0 < after.first - before.end <= 15 for before, after in pairwise(captions))


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
