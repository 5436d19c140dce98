"""Parameters of a reel: the range of every field, and the Reel Creator's error messages."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable
from typing import Any

import pytest

from schemas.caption_style import STYLES, StyleName
from schemas.envelope import Request
from schemas.errors import RequestError
from schemas.lyrics import MAX_LYRICS_WORDS
from schemas.lyrics_file import MAX_LINE_CHARACTERS, MAX_LYRICS_LINES
from schemas.parse import parse_request
from schemas.reel import Reel

DATA = {"image": "s3://inbox/c.jpg", "audio": "s3://inbox/s.mp3", "lyrics": "First\nSecond", "alignment_mode": "even"}


def read(**changes: Any) -> Reel:
    """Parse a reel with these fields; ``...`` leaves one out."""
    data = {name: value for name, value in {**DATA, **changes}.items() if value is not ...}
    request = parse_request(json.dumps({"id": "a", "type": "reel", "data": data}).encode())
    assert isinstance(request, Request)
    assert isinstance(request.data, Reel)
    return request.data


def refusal(**changes: Any) -> RequestError:
    """Return the error that a request with these fields is refused with."""
    with pytest.raises(RequestError) as caught:
        read(**changes)
    return caught.value


def test_the_defaults_are_those_of_the_contract() -> None:
    reel = Reel.model_construct(**{name: f.get_default() for name, f in Reel.model_fields.items()})
    assert reel.font_size == 45
    assert reel.font_color == "yellow"
    assert reel.words_per_group == 3
    assert reel.timing_offset == 0.0
    assert reel.min_duration == 1.0
    assert reel.alignment_mode == "auto"
    assert reel.debug_mode is False
    assert reel.renderer == "auto"
    assert reel.language is None
    assert (reel.width, reel.height) == (1080, 1920)


@pytest.mark.parametrize(
    ("field", "least", "most"),
    [
        ("font_size", 8, 400),
        ("words_per_group", 1, 50),
        ("timing_offset", -3600, 3600),
        ("min_duration", 0, 60),
        ("width", 128, 3840),
        ("height", 128, 3840),
    ],
)
def test_a_number_is_accepted_up_to_its_limits_and_refused_beyond(field: str, least: int, most: int) -> None:
    for good in (least, most):
        assert getattr(read(**{field: good}), field) == good
    value: Any
    for value in (least - 2, most + 2, -(10**400), 10**400, [], "many"):
        error = refusal(**{field: value})
        assert (error.code, error.field) == ("invalid_field", f"data.{field}")
        assert error.message.startswith(f"data.{field}: ")


LOOKS = {
    "style": "classic",
    "upper_case": None,
    "outline": None,
    "position": "auto",
    "safe_area": "all",
    "fit": "auto",
    "font": None,
    "emphasis": (),
    "emphasis_color": None,
    "next_line": False,
    "countdown": None,
    "progress_line": False,
}


@pytest.mark.parametrize("style", STYLES)
def test_a_style_has_defaults_of_its_own_and_a_request_overrides_them(style: StyleName) -> None:
    look = STYLES[style]
    for absent in ({}, {"font_size": None, "font_color": None}, {"font_size": "", "font_color": ""}):
        plain = read(style=style, **absent)
        assert (plain.font_size, plain.font_color) == (look.font_size, look.font_color)
        assert plain.caption_style() == look
    own = read(style=style, font_size=45, font_color="#ff0000", upper_case=not look.upper_case, outline=0.0)
    made = own.caption_style()
    assert (made.font_size, made.font_color, made.outline) == (45, "#ff0000", 0.0)
    assert made.upper_case is not look.upper_case
    # What is stored is read again as the same request.
    assert [Reel.model_validate(data.model_dump()) for data in (plain, own)] == [plain, own]


@pytest.mark.parametrize(
    ("field", "value", "names"),
    [
        ("style", "karaokee", STYLES),
        ("font", "Comic Sans", ("sans", "serif", "rounded", "condensed")),
        ("style", "Classic", STYLES),
        ("position", "center", ("auto", "top", "middle", "bottom")),
        ("safe_area", "facebook", ("all", "instagram", "tiktok", "shorts", "none")),
        ("fit", "crop", ("auto", "cover", "contain")),
    ],
)
def test_an_unknown_look_is_refused_with_those_there_are(field: str, value: str, names: Iterable[str]) -> None:
    error = refusal(**{field: value})
    assert (error.code, error.field) == ("invalid_field", f"data.{field}")
    assert all(name in error.message for name in names)


def test_the_colour_of_the_word_that_is_sung_has_no_opacity_of_its_own() -> None:
    assert read(style="pop", highlight_color="#f00").caption_style().highlight_color == "#f00"
    assert read(style="bold", highlight_color="#f00").caption_style().highlight_color == "#f00"
    assert read(style="bold").caption_style().highlight_color is None
    assert read(style="karaoke", highlight_color="").caption_style() == STYLES["karaoke"]
    for wrong in ("#ff000080", "#f008", "reddish"):
        assert refusal(highlight_color=wrong).field == "data.highlight_color"


@pytest.mark.parametrize("style", STYLES)
def test_what_a_style_adds_can_be_changed_in_every_style(style: StyleName) -> None:
    own: dict[str, Any] = {
        "font": "serif",
        "emphasis": ["home", "let me go"],
        "emphasis_color": "#00ff00",
        "next_line": True,
        "countdown": not STYLES[style].countdown,
        "progress_line": True,
        "highlight_color": "#ff0000",
    }
    made = read(style=style, **own)
    look = made.caption_style()
    assert {name: getattr(look, name) for name in own} == own | {"emphasis": ("home", "let me go")}
    assert read(style=style, **dict.fromkeys(own)).caption_style() == STYLES[style]
    assert Reel.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("emphasis", "home", "must be a list"),
        ("emphasis", ["home", ""], "a word or a phrase of the lyrics"),
        ("emphasis", ["\u202e"], "a word or a phrase of the lyrics"),
        ("emphasis", [7], "string"),
        ("emphasis", ["a"] * 101, "100"),
        ("emphasis", ["a" * 101], "100"),
        ("emphasis_color", "#00ff0080", "without opacity"),
        ("emphasis_color", "greenish", "CSS colour"),
        ("next_line", "maybe", "true or false"),
        ("countdown", 3, "true or false"),
    ],
)
def test_a_look_that_cannot_be_drawn_is_refused(field: str, value: Any, message: str) -> None:
    error = refusal(**{field: value})
    assert error.code == "invalid_field"
    assert (error.field or "").startswith(f"data.{field}")
    assert message in error.message


def test_the_version_before_reads_a_request_without_the_new_fields() -> None:
    assert not LOOKS.keys() & read().model_dump().keys()
    assert read(**LOOKS) == read()
    for field, value in {**LOOKS, "style": "bold", "upper_case": True, "outline": 0.1, "fit": "cover"}.items():
        assert (field in read(**{field: value}).model_dump()) is (value != LOOKS[field])


TIMED = {
    "F10-lrc": (
        "[ti:Song]\n[id: x_1]\n[00:01.72]First line[00:02.50]\n[00:03.00]Second [00:03.50]line",
        "First line\nSecond line",
    ),
    "F10-lrc-with-heading": ("[00:01]One\n[Chorus]\n[00:02]Two", "One\n[Chorus]\nTwo"),
    "F10-lrc-repeated": (r"[00:01.00][00:03.00]Chorus\n[00:02.00]Verse", "Chorus\nVerse\nChorus"),
    "F10-lrc-hours": ("[1:02:03.45]Last\n[59:59.00]First", "First\nLast"),
    "F10-lrc-hours-whole": ("[59:59]First\n[1:00:00]Last", "First\nLast"),
    "F10-lrc-words": ("[00:01.00]<00:01.00>Hal<00:01.20>le<00:01.40>lujah <00:02.00>oh<00:03.00>", "Hallelujah oh"),
    "F10-lrc-words-without-spaces": ("<00:01.00>Hello<00:02.00>world<00:03.00>", "Hello world"),
    "F10-lrc-letters": ("[00:01.00]夢[00:02.00]な[00:03.00]ら[00:04.00]ば", "夢ならば"),
    "F10-srt": (
        "1\r\n00:00:01,000 --> 00:00:02,000\r\n<i>Hello</i> there\r\n\r\n"
        "2\r\n00:00:03,000 --> 00:00:04,000\r\n{\\an8}1999\r\n",
        "Hello there\n1999",
    ),
    "F10-srt-without-blank-lines": (
        "1\n00:00:01,000 --> 00:00:02,000\nHello\n2\n00:00:03,000 --> 00:00:04,000\nyou",
        "Hello\nyou",
    ),
    "F10-vtt": (
        "WEBVTT\n\nNOTE by me\nand you\n\nSTYLE\n::cue {}\n\n"
        "intro\n00:01.000 --> 00:02.000 align:start\n<v Ann>Tom &amp; <00:01.500>Jerry\nNOTE this\n",
        "Tom & Jerry\nNOTE this",
    ),
    "ass": (
        "[Script Info]\r\nTitle: --> x\r\n\r\n[V4+ Styles]\r\nFormat: Name, Fontname\r\nStyle: Default,Arial\r\n\r\n"
        "[Events]\r\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\r\n"
        "Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,{\\an8}Second, with\\Na comma\r\n"
        "Comment: 0,0:00:02.00,0:00:04.00,Default,,0,0,0,,not shown\r\n"
        "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\k20}Hal{\\k20}le{\\k20}lu{\\k9}jah\r\n"
        "Dialogue: 0,0:00:05.00,0:00:06.00,Default,,0,0,0,,{\\p1}m 0 0 l 1 1{\\p0}soft\\nbreak\r\n",
        "Hallelujah\nSecond, with a comma\nsoft break",
    ),
    "ass-without-header": (
        "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,One\nDialogue: 0,0:00:02.00,0:00:03.00,Default,,0,0,0,,Two",
        "One\nTwo",
    ),
    "ssa": (
        "[Events]\nFormat: Marked, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
        "Dialogue: Marked=0,0:00:01.00,0:00:02.00,Default,NTP,0000,0000,0000,!Effect,Hello there",
        "Hello there",
    ),
    "ttml": (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!-- made -->\n<tt xmlns="http://www.w3.org/ns/ttml"><head><metadata>'
        '<ttm:title>Song</ttm:title></metadata></head><body><div>\n  <p begin="1s" end="2s">Tom &amp; <span>Jer</span>'
        '<span>ry</span></p>\n  <p begin="3s">two<br/>\n  rows</p><p begin="4s"/><p>last</p></div></body></tt>',
        "Tom & Jerry\ntwo rows\nlast",
    ),
    "ttml-with-prefix": ('<tt:tt xmlns:tt="x"><tt:body><tt:p begin="1s">One</tt:p></tt:body></tt:tt>', "One"),
}


@pytest.mark.parametrize(("lyrics", "expected"), TIMED.values(), ids=TIMED.keys())
def test_lyrics_with_times_are_recognized_and_only_the_words_are_used(lyrics: str, expected: str) -> None:
    assert read(lyrics=lyrics).lyrics == expected


@pytest.mark.parametrize(
    "lyrics",
    [
        "[Chorus]\nHello\n[Verse 1: Bob]\n[x2]",
        "[Intro: Ann]\nJohn [3:16] says\nat [12:30] we --> go",
        "[0:45]\nOne\nTwo\nThree",
        "I <3 you\n1\n2\n3 --> 4",
        "Dialogue: we talk, 1:02:03 a.m.\nComment: none\n[Events]",
        "<ttt>\n<p>One</p>",
    ],
    ids=["F10-headings", "F10-times-within", "F10-one-time", "F10-arrows", "ass-words", "ttml-words"],
)
def test_lyrics_without_times_are_left_as_they_are(lyrics: str) -> None:
    assert read(lyrics=lyrics).lyrics == lyrics


def test_times_without_words_are_no_lyrics_fault_10() -> None:
    assert refusal(lyrics="[ti:Song]\n[00:01.00]\n[00:02.00]").code == "lyrics_required"


def test_a_long_line_with_many_times_is_refused_before_it_is_repeated_fault_10() -> None:
    assert refusal(lyrics="[0:01]" * 20_000 + "a" * 100_000).code == "lyrics_too_long"


@pytest.mark.parametrize(
    "text",
    ["<tt>" + "<p " * 80_000, "<tt><p>" + "<" * 200_000, "<tt><" + "a" * 200_000, "Dialogue: " * 20_000, "<?" * 99_999],
    ids=["paragraphs", "brackets", "name", "events", "headers"],
)
def test_subtitles_that_do_not_end_take_no_time(text: str) -> None:
    begun = time.process_time()
    with contextlib.suppress(RequestError):
        read(lyrics=f"{text}\nDialogue: 0,0:00:01.00,{'{' * 9_999}")
    assert time.process_time() - begun < 2.0


def test_a_long_run_of_white_space_takes_no_time_reel_timing_spaces() -> None:
    begun = time.process_time()
    assert read(lyrics="[0:01]One\n[0:02]Two\n" + " " * 200_000 + "x").lyrics == "One\nTwo\nx"
    assert time.process_time() - begun < 2.0


@pytest.mark.parametrize("field", ["width", "height"])
def test_an_odd_size_is_refused_because_the_codec_needs_even_ones(field: str) -> None:
    assert "must be even" in refusal(**{field: 1081}).message


@pytest.mark.parametrize("color", ["yellow", "Yellow", "#ff0", "#FFFF00", "#ffff00cc", "rgb(255, 255, 0)"])
def test_css_colours_are_accepted(color: str) -> None:
    assert read(font_color=color).font_color == color


@pytest.mark.parametrize("color", ["gelb", "#ff", "ffff00", "#ggg", "url(x)", "a" * 65])
def test_an_invalid_colour_is_refused(color: str) -> None:
    error = refusal(font_color=color)
    assert (error.code, error.field) == ("invalid_field", "data.font_color")


@pytest.mark.parametrize("tag", ["en", "hi", "ja", "pt-BR", "zh_Hant", "yue"])
def test_language_tags_are_accepted(tag: str) -> None:
    assert read(language=tag).language == tag


@pytest.mark.parametrize("tag", ["e", "english", "en-", "../x", "en\n", "日本"])
def test_an_invalid_language_tag_is_refused(tag: str) -> None:
    assert refusal(language=tag).field == "data.language"


@pytest.mark.parametrize("field", ["image", "audio"])
@pytest.mark.parametrize(
    "uri",
    [
        "s3://inbox/a b/ü%20+?#.jpg",
        "https://cdn.example/c.jpg?X-Amz-Signature=1",
        "http://cdn.example/c.jpg",
        "file:///srv/media/c.jpg",
        "file://localhost/srv/c.jpg",
        "s3://inbox/" + "k" * 1024,
    ],
)
def test_every_media_reference_of_the_contract_is_accepted_and_not_rewritten(field: str, uri: str) -> None:
    assert getattr(read(**{field: uri}), field) == uri


@pytest.mark.parametrize("field", ["image", "audio"])
@pytest.mark.parametrize(
    "uri",
    [
        "",
        "cover.jpg",
        "/etc/passwd",
        "ftp://host/x",
        "s3://",
        "s3://inbox",
        "s3://inbox/",
        "s3:///key",
        "s3://x/key",
        "s3://arn:aws:s3:::inbox/key",
        "s3://" + "b" * 64 + "/key",
        "s3://inbox/" + "k" * 1025,
        "https://",
        "https://user:hunter2@host/x",
        "https://user@host/x",
        "https://[::1",
        "file://server/share/x",
        "file://",
        "file:///",
        "data:image/png;base64,AAAA",
        "gopher://x/1",
        "concat:/etc/passwd|x",
        "https://h/" + "x" * 2048,
        7,
        None,
        {},
    ],
)
def test_an_invalid_media_reference_is_refused_by_its_name(field: str, uri: Any) -> None:
    error = refusal(**{field: uri})
    assert (error.code, error.field) == ("invalid_field", f"data.{field}")
    assert "hunter2" not in error.message


@pytest.mark.parametrize("field", ["image", "audio"])
def test_a_missing_input_is_named(field: str) -> None:
    error = refusal(**{field: ...})
    assert (error.code, error.field) == ("missing_field", f"data.{field}")
    assert error.message == f"data.{field} is missing"


@pytest.mark.parametrize("lyrics", [..., None, "", " ", "\n\n", "\\n", " \t\r\n ", "\u200b\ufeff\u200d"])
def test_missing_lyrics_have_the_source_systems_message(lyrics: Any) -> None:
    error = refusal(lyrics=lyrics)
    assert (error.code, error.field, error.message) == ("lyrics_required", "data.lyrics", "Lyrics text is required")


@pytest.mark.parametrize("lyrics", ["one\\ntwo", "one\r\ntwo", "one\rtwo", "one\ntwo"])
def test_every_form_of_line_breaks_gives_the_same_reel(lyrics: str) -> None:
    assert read(lyrics=lyrics).lyrics == "one\ntwo"


@pytest.mark.parametrize(
    ("most", "too_much", "message"),
    [
        ("a\n" * (MAX_LYRICS_LINES - 1) + "a", "a\n" * 50_000, "lyrics have 50,001 lines, the limit is 5,000"),
        ("a\n" * (MAX_LYRICS_LINES - 1) + "a", "a\n" * MAX_LYRICS_LINES, "lyrics have 5,001 lines, the limit is 5,000"),
        ("a" * MAX_LINE_CHARACTERS, "a" * 2001, "a line of the lyrics has more than 2,000 characters"),
        (("a " * 900 + "\n") * 22 + "a " * 200, ("a " * 900 + "\n") * 23, "lyrics have more than 20,000 words"),
        ("a", ("♪\u200b" * 900 + "\n") * 23, "lyrics have more than 20,000 words"),
    ],
)
def test_lyrics_that_no_reel_can_show_are_refused(most: str, too_much: str, message: str) -> None:
    assert len(most.split()) <= MAX_LYRICS_WORDS
    assert read(lyrics=most).lyrics == most
    error = refusal(lyrics=too_much)
    assert (error.code, error.field, error.message) == ("lyrics_too_long", "data.lyrics", message)


def test_an_option_of_the_contract_that_this_worker_lacks_is_reported_as_missing_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("schemas.lyrics._LOCAL_PACKAGES", ("no_such_package",))
    error = refusal(alignment_mode="local")
    assert (error.code, error.field) == ("unsupported_option", "data.alignment_mode")
    assert "run pip install '.[align]'" in error.message


@pytest.mark.parametrize("language", ["english!", "e", "pt-", " ", 7])
def test_an_invalid_language_is_refused_with_an_example(language: Any) -> None:
    error = refusal(language=language)
    assert (error.code, error.field) == ("invalid_field", "data.language")
    assert error.message == "data.language: use a language tag such as en or pt-BR"


def test_lyrics_are_needed_only_if_nothing_is_transcribed() -> None:
    for mode in ("auto", "elevenlabs"):
        assert read(alignment_mode=mode, lyrics=...).lyrics == ""
    for mode in ("even", "local"):
        assert refusal(alignment_mode=mode, lyrics=...).code == "lyrics_required"


@pytest.mark.parametrize(("field", "value"), [("alignment_mode", "best"), ("renderer", "cloud"), ("debug_mode", "x")])
def test_a_value_outside_of_the_contract_is_an_invalid_field(field: str, value: str) -> None:
    error = refusal(**{field: value})
    assert (error.code, error.field) == ("invalid_field", f"data.{field}")


def test_unknown_parameters_are_named_together_with_the_known_ones() -> None:
    error = refusal(font_colour="red", zoom=2)
    assert (error.code, error.field) == ("unknown_field", "data.font_colour")
    assert error.message.startswith(
        "unknown fields: data.font_colour (did you mean data.font_color?), data.zoom; available in data: image, audio,"
    )
