"""Lyrics with times, LRC or subtitles, and lyrics that were uploaded as a file: only the words are used."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence

from schemas.errors import InvalidField, LyricsTooLong
from schemas.subtitle_text import subtitle_lines

MAX_LYRICS_LINES = 5_000
MAX_LINE_CHARACTERS = 2_000

_TIME = r"-?(?:\d{1,2}:)?\d{1,3}:\d{1,2}(?:[.,:]\d{1,6})?"
#: A time before a line, and any time of an LRC file: of a line ``[00:01.00]`` or of a word ``<00:01.00>``.
LINE_TAG = re.compile(rf"\s*\[\s*({_TIME})\s*\]")
TAG = re.compile(rf"\[\s*{_TIME}\s*\]|<\s*{_TIME}\s*>")
_SPACED_TAG = re.compile(rf"\S\s+(?:{TAG.pattern})|(?:{TAG.pattern})\s+\S")
#: Minutes and seconds without a fraction: in a file with such times, three numbers are hours, minutes and seconds.
WHOLE_SECONDS = re.compile(r"[\[<]\s*\d{1,3}:\d{1,2}\s*[\]>]")
#: Lines about the song, such as ``[ar:Artist]``: these names anywhere, and any name before the first line with a time.
METADATA = re.compile(r"\[(ar|al|ti|au|by|re|ve|la|id|length|offset|tool|hash|#):[^\]]*\]", re.IGNORECASE)
_HEADER = re.compile(r"\[[^\[\]:]+:.*\]")
_HEADING = re.compile(r"[\[(][^\])]*[\])]")
#: A script that writes no spaces between words: Thai, Lao, Myanmar, Khmer, Chinese and Japanese.
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\uff66-\uff9f]")

CUE_TIME = r"(?:\d{1,3}:)?\d{1,2}:\d{2}(?:[.,]\d{1,3})?"
#: The line before the text of each caption of SubRip and WebVTT.
CUE = re.compile(rf"[^\S\n]*{CUE_TIME}[^\S\n]*-->[^\S\n]*{CUE_TIME}(?:[^\S\n].*)?")
MARKUP = re.compile(rf"</?[A-Za-z][^<>]*>|<{CUE_TIME}>|\{{\\[^{{}}]*\}}")
_NOT_SHOWN = re.compile(r"(WEBVTT|NOTE|STYLE|REGION)(\s|$)")


def lyrics_text(content: bytes, uri: str) -> str:
    """Return the lines that are sung, without time tags and metadata.

    Args:
        content: the file's bytes, UTF-8 with or without a byte order mark.
        uri: the file's name; a file that ends in ``.lrc`` is parsed as LRC.

    Raises:
        InvalidField: the file is not UTF-8 text.
        LyricsTooLong: there are too many lines, or a line is too long.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidField(f"data.lyrics: {uri} is not UTF-8 (byte {error.start})", field="data.lyrics") from None
    if "\x00" in text:
        raise InvalidField(f"data.lyrics: {uri} contains NUL characters, so it is not a text file", field="data.lyrics")
    if not uri.lower().endswith(".lrc"):
        return text
    return without_times(text) if is_subtitles(text) else "\n".join(_parse_lrc(text))


def without_times(text: str) -> str:
    """Return lyrics without times and metadata if they are LRC or subtitles, and unchanged if they are not.

    Subtitles are SubRip, WebVTT, ASS and TTML.

    Raises:
        LyricsTooLong: there are too many lines, or a line is too long.
    """
    plain = text.removeprefix("\ufeff")
    if (lines := subtitle_lines(plain)) is not None:
        check_lines(lines)
        return "\n".join(lines)
    if is_subtitles(plain):
        return "\n".join(_cue_lines(plain.splitlines()))
    return "\n".join(_parse_lrc(plain)) if _is_lrc(plain) else text


def is_subtitles(text: str) -> bool:
    """Return whether a line is the time of a caption of SubRip or WebVTT."""
    return "-->" in text and any(map(CUE.fullmatch, text.splitlines()))


def _is_lrc(text: str) -> bool:
    """Return whether at least half of the lines begin with a time. Headings and lines about the song do not count."""
    lines = [line.strip() for line in text.splitlines()]
    timed = sum(TAG.match(line) is not None for line in lines)
    untimed = sum(bool(line) and not TAG.match(line) and not _HEADING.fullmatch(line) for line in lines)
    return timed > 0 and timed >= untimed


def _parse_lrc(text: str) -> list[str]:
    """Return the lines in the order of their time tags; a line with several tags before it is repeated."""
    source = _without_metadata(text.splitlines())
    hours = WHOLE_SECONDS.search(text) is not None
    gap = tag_gap(source)
    lines: list[tuple[float, str]] = []
    last = 0.0
    for line in source:
        times: list[float] = []
        position = 0
        while tag := LINE_TAG.match(line, position):
            times.append(tag_seconds(tag[1], hours))
            position = tag.end()
        last = times[-1] if times else last
        words = _untagged(line[position:], gap)
        lines += [(time, words) for time in times or [last]]
    # Before the lines are joined: a long line with many times would fill the memory.
    check_lines([words for _, words in lines])
    return [words for _, words in sorted(lines, key=lambda item: item[0])]


def tag_gap(lines: Iterable[str]) -> str:
    """Return what a time within a line of LRC is instead of: nothing or a space.

    Some programs write a time between the letters of words without spaces, others instead of the spaces.
    """
    first_tags = ((line, LINE_TAG.match(line)) for line in lines)
    return "" if any(_SPACED_TAG.search(line, tag.end() if tag else 0) for line, tag in first_tags) else " "


def check_lines(lines: Sequence[str], field: str = "data.lyrics") -> None:
    """Check the number and the length of the lines of lyrics, which the request's ``field`` contains.

    Raises:
        LyricsTooLong: there are too many lines, or a line is too long.
    """
    if len(lines) > MAX_LYRICS_LINES:
        raise LyricsTooLong(f"lyrics have {len(lines):,} lines, the limit is {MAX_LYRICS_LINES:,}", field=field)
    if max(map(len, lines), default=0) > MAX_LINE_CHARACTERS:
        raise LyricsTooLong(f"a line of the lyrics has more than {MAX_LINE_CHARACTERS:,} characters", field=field)


def _without_metadata(lines: list[str]) -> list[str]:
    first = next((index for index, line in enumerate(lines) if TAG.match(line.strip())), 0)
    return [
        line
        for index, line in enumerate(lines)
        if not (METADATA.fullmatch(line.strip()) or (index < first and _HEADER.fullmatch(line.strip())))
    ]


def tag_seconds(time: str, hours: bool) -> float:
    """Return the seconds of ``1:02.5``, ``1:02:50`` (hundredths, or hours if ``hours``) or ``1:02:03.45``."""
    numbers = re.split("[:.,]", time.lstrip("-"))
    if hours and time.count(":") == 2 and len(numbers) == 3:
        numbers.append("0")
    hour = numbers.pop(0) if len(numbers) == 4 else "0"
    minute, second, fraction = (*numbers, "0")[:3]
    seconds = int(hour) * 3600 + int(minute) * 60 + float(f"{second}.{fraction}")
    return -seconds if time.startswith("-") else seconds


def _untagged(line: str, gap: str) -> str:
    def between(tag: re.Match[str]) -> str:
        unspaced = UNSPACED.match(line[tag.start() - 1 : tag.start()]) and UNSPACED.match(line, tag.end())
        return "" if unspaced else gap

    return re.sub("[ \t]+", " ", TAG.sub(between, line)).strip()


def _cue_lines(lines: list[str]) -> Iterator[str]:
    """Yield the text of the captions: not their times, numbers and names, nor comments, styles and markup."""
    vtt = lines[0].startswith("WEBVTT")
    hidden = False
    for index, line in enumerate(lines):
        following = lines[index + 1] if index + 1 < len(lines) else ""
        begins = index == 0 or not lines[index - 1].strip()
        cue = CUE.fullmatch(line) is not None
        if cue or begins:
            hidden = vtt and not cue and _NOT_SHOWN.match(line) is not None
        name = CUE.fullmatch(following) and (begins or line.strip().isdecimal())
        if line.strip() and not (cue or hidden or name):
            shown = MARKUP.sub("", line)
            yield re.sub("[ \t]+", " ", html.unescape(shown) if vtt else shown).strip()
