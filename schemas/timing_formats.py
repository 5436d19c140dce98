"""Parsers of files with lines and their times: LRC, SubRip, WebVTT, ASS and ``words.json``.

The files are not trusted. Every expression takes time in proportion to its text, and numbers have few digits.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.errors import InvalidJson, InvalidTiming, LyricsTooLong
from schemas.lyrics import MAX_LYRICS_WORDS
from schemas.lyrics_file import (
    CUE,
    CUE_TIME,
    LINE_TAG,
    MARKUP,
    METADATA,
    TAG,
    UNSPACED,
    WHOLE_SECONDS,
    tag_gap,
    tag_seconds,
)
from schemas.strict_json import parse_object

FIELD = "data.timing"
#: An inner time is later than any recording.
_MOST_SECONDS = 1e6
#: Where a list of words has no lines, as in a transcription: the pause in seconds that ends one, and its most words.
_PAUSE_SECONDS = 1.0
_LINE_WORDS = 100
_SENTENCE_ENDS = frozenset(".!?…。！？।؟")
_OFFSET = re.compile(r"\[offset:\s*([+-]?\d{1,7})\s*\]", re.IGNORECASE)
_CUE_SPAN = re.compile(rf"\s*({CUE_TIME})\s*-->\s*({CUE_TIME})")
_CUE_STAMP = re.compile(f"<({CUE_TIME})>")
_ASS_TIME = re.compile(r"(\d{1,3}):(\d{1,2}):(\d{1,2})[.,:](\d{1,3})")
_ASS_BLOCK = re.compile(r"(?<!\\)\{([^{}]*)\}")
_ASS_KARAOKE = re.compile(r"\\(?:kf|ko|k|K)(\d{1,7})")
_ASS_DRAWING = re.compile(r"\\p(\d)")
_ASS_COLUMNS = ("layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line, as it is written, and its times in seconds; ``None`` if they are not known."""

    text: str
    start: float | None
    end: float | None
    #: True if the file has these times, False if an earlier job interpolated them.
    heard: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the file that is shown as text, and its pieces in order."""

    #: Where it is in the file, for messages: ``line 7``.
    place: str
    #: ``None`` if only the lines around it have times.
    start: float | None
    #: ``None``: until the next line.
    end: float | None
    #: A line without word times is one piece. No pieces: the moment at which the line before it ends.
    pieces: tuple[Piece, ...]
    #: Whether the pieces have times of their own.
    has_words: bool = False


def invalid(place: str, problem: str) -> InvalidTiming:
    """Return the error for one line of the file."""
    return InvalidTiming(f"{place} of the timing file {problem}", field=FIELD)


def parse_lrc(text: str) -> Iterator[Line]:
    """Yield the lines of an LRC file, also with word times, ``[00:12.00]<00:12.00>Some <00:12.50>words``."""
    lines = text.split("\n")
    hours = WHOLE_SECONDS.search(text) is not None
    offset = _OFFSET.search(text)
    early = int(offset[1]) / 1000 if offset else 0.0
    gap = tag_gap(lines)
    for number, line in enumerate(lines, 1):
        times: list[float] = []
        position = 0
        while tag := LINE_TAG.match(line, position):
            times.append(max(0.0, tag_seconds(tag[1], hours) - early))
            position = tag.end()
        if not times:
            if line.strip() and not METADATA.fullmatch(line.strip()):
                yield Line(f"line {number}", None, None, (Piece(line.strip(), None, None),))
            continue
        pieces = _lrc_pieces(line[position:], times[0], hours, early, gap)
        for time in dict.fromkeys(times):
            yield _lrc_line(f"line {number}", time, pieces, time - times[0])


def _lrc_pieces(body: str, start: float, hours: bool, early: float, gap: str) -> list[Piece]:
    """Return the text between the times in the line, each with its start."""
    pieces, position, time = [], 0, start
    for tag in TAG.finditer(body):
        text = body[position : tag.start()]
        if text and not text[-1].isspace() and body[tag.end() : tag.end() + 1].strip():
            text += "" if UNSPACED.match(text[-1]) and UNSPACED.match(body, tag.end()) else gap
        pieces.append(Piece(text, time, None))
        position, time = tag.end(), max(0.0, tag_seconds(tag[0].strip("[]<> \t"), hours) - early)
    return [*pieces, Piece(body[position:], time, None)]


def _lrc_line(place: str, start: float, pieces: Sequence[Piece], shift: float) -> Line:
    """Return the line at ``start``; its pieces end where the next one begins."""
    starts = [(piece.start or 0.0) + shift for piece in pieces]
    ends: list[float | None] = [*starts[1:], None]
    timed = [Piece(piece.text, time, end) for piece, time, end in zip(pieces, starts, ends, strict=True)]
    if not timed[-1].text.strip():
        timed.pop()
    shown = _shown(timed)
    # A time after the text is its end. Between words it is that of a word.
    has_words = sum(bool(piece.text.strip()) for piece in shown) > 1
    return Line(place, start, shown[-1].end if shown else None, shown, has_words)


def _shown(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """Return all pieces, because spaces may be pieces of their own, or none if there is no text."""
    return tuple(pieces) if any(piece.text.strip() for piece in pieces) else ()


def parse_cues(text: str) -> Iterator[Line]:
    """Yield the captions of a SubRip or WebVTT file; WebVTT may have times within the text, ``<00:00:01.500>``."""
    lines = text.split("\n")
    vtt = lines[0].startswith("WEBVTT")
    place, span, shown, ended = "", "", list[str](), False
    for number, line in enumerate(lines, 1):
        if CUE.fullmatch(line):
            if span:
                yield _cue(place, span, shown, vtt)
            place, span, shown, ended = f"line {number}", line, [], False
        elif "-->" in line and not (vtt and ended):
            raise invalid(f"line {number}", "has times that cannot be read; write 00:00:01,000 --> 00:00:02,500")
        elif not line.strip():
            # SubRip files have empty lines within captions, too.
            ended = vtt
        elif not (ended or _names_cue(lines, number)):
            shown.append(line)
    if span:
        yield _cue(place, span, shown, vtt)


def _names_cue(lines: list[str], number: int) -> bool:
    """Return whether the line is the number or the name of the caption whose time follows."""
    line, following = lines[number - 1], lines[number] if number < len(lines) else ""
    begins = number == 1 or not lines[number - 2].strip()
    return bool(CUE.fullmatch(following)) and (begins or line.strip().isdecimal())


def _cue(place: str, span: str, shown: list[str], vtt: bool) -> Line:
    match = _CUE_SPAN.match(span)
    assert match is not None
    start, end = _cue_seconds(match[1]), _cue_seconds(match[2])
    parts = _CUE_STAMP.split(join_lines([line.strip() for line in shown if line.strip()]))
    times = [start, *map(_cue_seconds, parts[1::2])]
    pieces = []
    for text, time, until in zip(parts[::2], times, [*times[1:], end], strict=True):
        plain = MARKUP.sub("", text)
        pieces.append(Piece(html.unescape(plain) if vtt else plain, time, until))
    return Line(place, start, end, _shown(pieces), len(parts) > 1)


def _cue_seconds(time: str) -> float:
    whole, _, fraction = time.replace(",", ".").partition(".")
    seconds = 0
    for number in whole.split(":"):
        seconds = seconds * 60 + int(number)
    return float(f"{seconds}.{fraction or 0}")


def join_lines(lines: Sequence[str]) -> str:
    """Join the lines of one caption by spaces, and without them in scripts that write none."""
    joined = ""
    for line in lines:
        unspaced = joined and UNSPACED.match(joined[-1]) and UNSPACED.match(line)
        joined += line if unspaced or not joined else f" {line}"
    return joined


def parse_ass(text: str) -> Iterator[Line]:
    r"""Yield the events of an ASS or SSA file, with the times of its words or syllables if it has ``\k`` tags."""
    columns: Sequence[str] = _ASS_COLUMNS
    for number, line in enumerate(text.split("\n"), 1):
        kind, _, rest = line.partition(":")
        if kind == "Format" and "text" in rest.lower():
            columns = [name.strip().lower() for name in rest.split(",")]
        if kind not in ("Dialogue", "Comment"):
            continue
        event = dict(zip(columns, rest.split(",", len(columns) - 1), strict=False))
        effect = event.get("effect", "").strip().lower()
        # A template writes the lines that it makes as ``fx`` and keeps the original as a comment, ``karaoke``.
        if effect == "fx" or (kind == "Comment" and effect != "karaoke"):
            continue
        place = f"line {number}"
        start, end = (_ass_seconds(event.get(name, "").strip(), place) for name in ("start", "end"))
        pieces, has_words = _ass_pieces(event.get("text", ""), start, end)
        yield Line(place, start, end, _shown(pieces), has_words)


def _ass_seconds(time: str, place: str) -> float:
    match = _ASS_TIME.fullmatch(time)
    if match is None:
        raise invalid(place, f"has no time such as 0:00:12.50, but {time[:20]!r}")
    hours, minutes, seconds, fraction = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(f"{seconds}.{fraction}")


def _ass_pieces(text: str, start: float, end: float) -> tuple[list[Piece], bool]:
    parts = _ASS_BLOCK.split(text)
    pieces: list[Piece] = []
    hundredths, until, drawing = 0, 0, False
    has_words = any(map(_ASS_KARAOKE.search, parts[1::2]))
    for index, part in enumerate(parts):
        if index % 2:
            for duration in _ASS_KARAOKE.findall(part):
                hundredths, until = until, until + int(duration)
            drawn = _ASS_DRAWING.findall(part)
            drawing = drawn[-1] != "0" if drawn else drawing
        elif not drawing and (plain := _ass_text(part)):
            last = end if not has_words else start + until / 100
            pieces.append(Piece(plain, start + hundredths / 100, last))
    return pieces, has_words


def _ass_text(text: str) -> str:
    plain = re.sub(r"\\[Nnh]", " ", text)
    return plain.replace("\\{", "{").replace("\\}", "}").replace("\\\u2060", "\\")


def parse_words(content: bytes) -> Iterator[Line]:
    """Yield the lines of a ``words.json``. Words without times are allowed: they get a share of the gap.

    Raises:
        InvalidTiming: It is not JSON, or a word has no text or an impossible time.
    """
    try:
        value = parse_object(content, limit_bytes=len(content))
    except InvalidJson as error:
        problem = error.message.replace("the message", "the timing file")
        raise InvalidTiming(problem, field=FIELD) from None
    words = value.get("words")
    if not isinstance(words, list):
        raise InvalidTiming('the timing file is JSON without a list "words"', field=FIELD)
    if len(words) > MAX_LYRICS_WORDS:
        raise LyricsTooLong(f"the timing file has more than {MAX_LYRICS_WORDS:,} words", field=FIELD)
    pieces = [_word_piece(f"words[{index}]", word) for index, word in enumerate(words)]
    starts = [index for index, word in enumerate(words) if index == 0 or word.get("starts_line") is True]
    if len(starts) == 1 and ("source" not in value or len(words) > _LINE_WORDS):
        starts = list(_line_starts(pieces))
    for first, after in zip(starts, [*starts[1:], len(words)], strict=False):
        members = pieces[first:after]
        known = [piece.start for piece in members if piece.start is not None]
        yield Line(f"words[{first}]", known[0] if known else None, None, tuple(members), True)


def _line_starts(pieces: Sequence[Piece]) -> Iterator[int]:
    """Yield where lines begin in a file that does not contain it: after pauses, sentences and ``_LINE_WORDS`` words."""
    last = 0
    for index, piece in enumerate(pieces):
        before = pieces[index - 1]
        pause = (piece.start or 0.0) - (before.end or math.inf)
        ended = before.text[-1] in _SENTENCE_ENDS
        if index == 0 or ended or pause >= _PAUSE_SECONDS or index - last >= _LINE_WORDS:
            last = index
            yield index


def _word_piece(place: str, word: Any) -> Piece:
    text = word.get("text") if isinstance(word, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise invalid(place, 'has no "text"')
    before = word.get("before")
    if before is not None and before not in ("", " ", "\u200b"):
        raise invalid(place, 'has a "before" that is not a space, a zero-width space or empty')
    start, end = (_word_seconds(place, name, word.get(name)) for name in ("start", "end"))
    if start is None or end is None:
        start = end = None
    text = " ".join(text.split())
    return Piece((" " if before is None else before) + text, start, end, word.get("heard") is not False)


def _word_seconds(place: str, name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST_SECONDS:
        raise invalid(place, f'has a "{name}" that is not a number of seconds')
    return float(value)
