"""Files with words and times: what they mean, and which are refused with which message."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest

from pipelines.media.captions.given_times import GivenWords, given_words
from pipelines.media.captions.word_groups import words_of
from schemas.errors import InvalidTiming, LyricsTooLong
from schemas.timing_file import read_timing

LRC = "[ti:Song]\n[ar:Me]\n\n[00:01.00]Hello world\n[00:03.00]\n[00:05.00][00:09.00]Again, my\nfriend\n"
WORDS_LRC = "[00:01.00]<00:01.00>Hello <00:01.50>world<00:02.25>\n[00:05.00]<00:05.10>Hi<00:05.60> <00:06.00>you\n"
SRT = "1\n00:00:01,000 --> 00:00:02,500\n<i>Hello</i>\n\nworld\n\n2\n00:00:03,000 --> 00:00:04,000\n2\n"
VTT = (
    "WEBVTT - a song\n\nSTYLE\n::cue { color: red }\n\nfirst\n00:01.000 --> 00:02.500 align:start\n"
    "<v Bob>R&amp;B <00:01.500>there</v>\n\nNOTE not shown\n\n00:03.000 --> 00:04.000\nworld\n"
)
ASS = (
    "[Script Info]\nScriptType: v4.00+\n\n[Events]\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    "Comment: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,not shown\n"
    "Dialogue: 0,0:00:05.00,0:00:06.00,Default,,0,0,0,,{\\an8}Later\\Non {\\p1}m 0 0 l 1 1{\\p0}\n"
    "Dialogue: 0,0:00:01.00,0:00:03.00,Default,,0,0,0,,{\\k50}Hel{\\kf30}lo, {\\K20}{\\k60}wor{\\k10}ld\n"
)
WORDS = {
    "version": 1,
    "words": [
        {"text": "Hello", "start": 1, "end": 2, "heard": True},
        {"text": "new"},
        {"text": "world", "start": 3.5, "end": 4, "heard": False, "starts_line": True},
        {"text": "s", "before": "", "start": 4, "end": 4.5},
    ],
}


def words(content: str | bytes, seconds: float = 100.0) -> GivenWords:
    given = read_timing(content if isinstance(content, bytes) else content.encode())
    return given_words(given.lines, seconds)


def shown(content: str | bytes, seconds: float = 100.0) -> list[tuple[Any, ...]]:
    """Return lines of words, each with its start and its end in hundredths of a second."""
    made = words(content, seconds)
    timed = zip(words_of(made.lyrics), made.times, strict=True)
    return [(word, *((time and (round(time.start * 100), round(time.end * 100))) or (None,))) for word, time in timed]


CASES = {
    "lrc": (
        LRC,
        "Hello world\nAgain, my friend\nAgain, my friend",
        [(100, 200), (200, 300), (500, 671), (671, 729), (729, 900), (900, 1106), (1106, 1174), (1174, 1380)],
    ),
    "lrc-with-word-times": (WORDS_LRC, "Hello world\nHi you", [(100, 150), (150, 225), (510, 560), (600, 690)]),
    "lrc-with-times-instead-of-spaces": (
        "[00:01.00]<00:01.00>Hello<00:01.50>world<00:02.25>",
        "Hello world",
        [(100, 150), (150, 225)],
    ),
    "lrc-with-an-offset": ("[offset:+500]\n[00:01.00]Hey\n[00:02.00]", "Hey", [(50, 150)]),
    "lrc-with-a-translation": ("[00:01.00]Hey\n[00:01.00]你好\n[00:02.00]x", "Hey 你好\nx", None),
    "lrc-in-chinese": ("[00:01.00]<00:01.00>清<00:01.50>晨<00:02.00>的<00:02.50>", "清晨的", [(100, 200), (200, 250)]),
    "srt": (SRT, "Hello world\n2", [(100, 175), (175, 250), (300, 400)]),
    "srt-with-an-empty-line-before-it": ("\n" + SRT.replace("\n", "\r\n"), "Hello world\n2", None),
    "vtt": (VTT, "R&B there\nworld", [(100, 150), (150, 250), (300, 400)]),
    "ass": (ASS, "Hello, world\nLater on", [(100, 180), (200, 270), (500, 571), (571, 600)]),
    "words": (json.dumps(WORDS), "Hello new\nworlds", [(100, 200), (None,), (350, 450)]),
}


@pytest.mark.parametrize("case", CASES, ids=[f"reel-timing-in-{case}" for case in CASES])
def test_each_format_gives_its_words_and_times(case: str) -> None:
    text, lyrics, times = CASES[case]
    encodings = [text.encode(), text.encode("utf-8-sig"), text.encode("utf-16")]
    made = [(words(content).lyrics, shown(content)) for content in encodings]
    assert made[0] == made[1] == made[2]
    assert made[0][0] == lyrics
    assert times is None or [entry[1:] for entry in made[0][1]] == times


def cue(start: str, end: str, text: str = "la") -> str:
    return f"{start} --> {end}\n{text}\n\n"


def listed(*given: tuple[Any, Any]) -> str:
    return json.dumps({"words": [{"text": "la", "start": start, "end": end} for start, end in given]})


BAD: dict[str, tuple[str | bytes, str]] = {
    "empty": (b"", "is empty"),
    "blank": (b"\xef\xbb\xbf \r\n", "is empty"),
    "audio": (b"ID3\x04\x00\x00\xff\xfb", "is not UTF-8|NUL"),
    "latin-1": ("[00:01.00]é".encode("latin-1"), r"is not UTF-8 \(byte 10\); save it as UTF-8"),
    "utf-16-without-a-mark": ("[00:01.00]a".encode("utf-16-le"), "NUL"),
    "half-of-utf-16": ("[00:01.00]a".encode("utf-16")[:-1], "is not UTF-16"),
    "lyrics": (b"just\nlyrics", "is not LRC, SubRip, WebVTT, ASS or words.json"),
    "no-words": (b"[00:01.00]\n[00:02.00]", "contains no words"),
    "no-cues": (b"WEBVTT\n\nNOTE x", "contains no words"),
    "no-events": (b"[Script Info]\n[Events]\nFormat: Start, End, Text", "contains no words"),
    "backwards-cue": (cue("00:00:05,000", "00:00:04,000"), "line 1 of the timing file ends at 4 s, before it begins"),
    "backwards-cues": (
        cue("00:00:05,000", "00:00:06,000") + cue("00:00:01,000", "00:00:02,000"),
        r"line 4 of the timing file begins at 1 s, before the line above it \(5 s\)",
    ),
    "backwards-words": ("[00:05.00]<00:05.00>one <00:04.00>two", "line 1 .* runs backwards: 'two' begins at 4 s"),
    "backwards-event": (ASS.replace("0:00:06.00", "0:00:04.00"), "line 7 of the timing file ends at 4 s, before"),
    "backwards-in-words": (listed((5, 6), (1, 2)), r"words\[0\] of the timing file runs backwards"),
    "backwards-word": (listed((5, 4)), "has a word that ends before it begins: 'la' at 5 s"),
    "bad-arrow": ("1\n00:00:01,0000 --> 00:00:02\nla", "line 2 of the timing file has times that cannot be read"),
    "bad-event": (ASS.replace("0:00:06.00", "soon"), "line 7 of the timing file has no time such as 0:00:12.50"),
    "text-as-time": (listed(("1", 2)), r'words\[0\] of the timing file has a "start" that is not a number'),
    "negative": (listed((-1, 2)), '"start" that is not a number of seconds'),
    "endless": (listed((1, 1e300)), '"end" that is not a number of seconds'),
    "flag-as-time": (listed((True, 2)), '"start" that is not a number of seconds'),
    "no-list": ('{"words": 7}', 'without a list "words"'),
    "no-text": ('{"words": [{"start": 1}]}', r'words\[0\] of the timing file has no "text"'),
    "not-a-word": ('{"words": [7]}', r'words\[0\] of the timing file has no "text"'),
    "odd-before": ('{"words": [{"text": "a", "before": "x"}]}', '"before"'),
    "no-words-at-all": ('{"words": []}', "contains no words"),
    "broken-json": ('{"words": [', "the timing file is not valid JSON"),
    "deep-json": ('{"words": ' + "[" * 100_000, "the timing file is nested deeper"),
    "not-a-number": ('{"words": [{"text": "a", "start": NaN}]}', "NaN is not a JSON number"),
}


@pytest.mark.parametrize("case", BAD, ids=[f"reel-timing-bad-{case}" for case in BAD])
def test_a_bad_file_is_refused_with_the_place(case: str) -> None:
    content, message = BAD[case]
    with pytest.raises(InvalidTiming, match=message) as caught:
        words(content)
    assert (caught.value.code, caught.value.field) == ("invalid_timing", "data.timing")


SRT_OVERLAP = cue("00:00:01,000", "00:00:03,500", "one two") + cue("00:00:03,000", "00:00:05,000", "three")


def test_a_line_that_overlaps_the_next_is_cut_and_reported_reel_timing_overlap() -> None:
    given = read_timing(SRT_OVERLAP.encode())
    assert given.warnings == ["lines of the timing file that overlap the next one, and end where it begins: 1"]
    assert shown(SRT_OVERLAP) == [("one", 100, 200), ("two", 200, 300), ("three", 300, 500)]


@pytest.mark.parametrize(
    ("content", "seconds", "left", "late"),
    [
        (LRC, 5.2, "Hello world\nAgain, my friend", 1),
        (WORDS_LRC, 5.7, "Hello world\nHi", 1),
        (SRT, 3.5, "Hello world\n2", 0),
        (SRT, 0.5, "", 2),
    ],
    ids=["reel-timing-late-line", "reel-timing-late-word", "reel-timing-late-end", "reel-timing-late-all"],
)
def test_what_begins_after_the_audio_is_left_out(content: str, seconds: float, left: str, late: int) -> None:
    made = words(content, seconds)
    assert (made.lyrics, made.late) == (left, late)
    assert all(time is not None and time.end <= seconds for time in made.times)


LARGE = {
    "many-lines": "[00:01.00]a\n" * 6_000,
    "many-lines-in-one": "".join(f"[{n // 60}:{n % 60}.0]" for n in range(5_500)) + "a",
    "a-line-repeated-with-its-words": "".join(f"[{n // 60}:{n % 60}.0]" for n in range(4_000)) + "<9:0>a" * 3_000,
    "lines-without-times": "[00:01.00]a\n" + ("b" * 800 + "\n") * 4_900,
    "lines-without-times-after-words": "[00:01.00]<0:1>a <0:2>b\n" + ("b" * 800 + "\n") * 4_900,
    "lines-of-one-cue": cue("00:00:01,000", "00:00:03,500", "b\n" * 190_000),
    "empty-lines": "[00:01.00]a" + "\n" * 3_000_000,
    "a-long-line": "[00:01.00]" + "a" * 3_000_000,
    "open-tags": "[00:01.00]a\n" + ("[<{" * 16_000 + "\n") * 60,
    "open-blocks": ASS + "Dialogue: 0,0:00:01.00,0:00:03.00,Default,,0,0,0,," + "{\\k" * 15_000,
    "spaces": "[00:01.00]a" + (" " * 49_000 + "\n") * 60,
    "brackets": ("[" * 49_000 + "\n") * 60 + "[00:01.00]a",
    "arrows": ("-->" * 15_000 + "\n") * 60,
    "cue-tags": cue("00:00:01,000", "00:00:03,500", "<a" * 12_000 + "<00:00:0" * 3_000),
    "syllables": ASS + "Dialogue: 0,0:00:01.00,0:00:03.00,Default,,0,0,0,," + "{\\k1}a" * 8_000,
    "numbers": json.dumps({"words": [{"text": "a", "start": 1, "end": 1}] * 60_000}),
    "digits": '{"words": [{"text": "a", "start": ' + "9" * 1_000_000 + "}]}",
}


@pytest.mark.parametrize("case", LARGE, ids=[f"reel-timing-large-{case}" for case in LARGE])
def test_a_file_made_to_cost_time_is_read_or_refused_soon(case: str) -> None:
    begun = time.process_time()
    read = case in ("spaces", "brackets")
    with contextlib.nullcontext() if read else pytest.raises((InvalidTiming, LyricsTooLong)):
        words(LARGE[case])
    assert time.process_time() - begun < 5.0
