"""A file with the words of the captions and their times: decoded, parsed, checked, and in the order of its times."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from schemas.errors import InvalidTiming, LyricsTooLong
from schemas.lyrics_file import LINE_TAG, MAX_LYRICS_LINES, check_lines, is_subtitles
from schemas.timing_formats import (
    FIELD,
    Line,
    Piece,
    invalid,
    join_lines,
    parse_ass,
    parse_cues,
    parse_lrc,
    parse_words,
)

MAX_TIMING_BYTES = 4 * 1024 * 1024
#: Before they are joined to words: syllables of an ASS file.
_MAX_PIECES = 100_000
_MAX_FILE_LINES = 200_000
_MAX_LINE_CHARACTERS = 50_000
#: How long a line or a word without an end lasts at most, if the next one begins later: per character, and the least.
_CHARACTER_SECONDS = 0.3
_LEAST_LINE_SECONDS = 2.0
_LEAST_WORD_SECONDS = 0.5
#: Times are compared with this tolerance in seconds; an overlap from the second one is reported.
_EQUAL_SECONDS = 0.0005
_OVERLAP_SECONDS = 0.05
_ASS_MARK = re.compile(r"^(\[Script Info\]|\[Events\]|Dialogue:)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class GivenTimes:
    """The lines of a file in order, each with its pieces and an end, and what was changed to make them fit."""

    lines: list[Line]
    warnings: list[str]


def read_timing(content: bytes) -> GivenTimes:
    """Parse LRC, SubRip, WebVTT, ASS or ``words.json``; the content says which it is.

    Raises:
        InvalidTiming: It is none of these, is not UTF-8 or UTF-16, contains no words, or its times run backwards.
        LyricsTooLong: It contains more lines or words than captions can show.
    """
    text = _decoded(content)
    if text.lstrip().startswith("{"):
        return _arranged(_limited(parse_words(text.encode())))
    _check_size(text)
    if text.startswith("WEBVTT") or (is_subtitles(text) and not _ASS_MARK.search(text)):
        return _arranged(_limited(parse_cues(text)))
    if _ASS_MARK.search(text):
        return _arranged(_by_start(_limited(parse_ass(text))))
    if any(map(LINE_TAG.match, text.split("\n"))):
        return _arranged(_by_start(_continued(_limited(parse_lrc(text)))))
    if "-->" in text:
        return _arranged(_limited(parse_cues(text)))
    problem = "is empty" if not text.strip() else "is not LRC, SubRip, WebVTT, ASS or words.json"
    raise InvalidTiming(f"the timing file {problem}", field=FIELD)


def _decoded(content: bytes) -> str:
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        name = "UTF-16" if wide else "UTF-8"
        raise InvalidTiming(
            f"the timing file is not {name} (byte {error.start}); save it as UTF-8", field=FIELD
        ) from None
    if "\x00" in text:
        raise InvalidTiming("the timing file contains NUL characters; save it as UTF-8 text", field=FIELD)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check_size(text: str) -> None:
    lines = text.split("\n")
    if len(lines) > _MAX_FILE_LINES:
        raise LyricsTooLong(f"the timing file has more than {_MAX_FILE_LINES:,} lines", field=FIELD)
    if max(map(len, lines)) > _MAX_LINE_CHARACTERS:
        raise LyricsTooLong(f"a line of the timing file has more than {_MAX_LINE_CHARACTERS:,} characters", field=FIELD)


def _limited(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines, as long as they are not too many: a short file can repeat a long line many times."""
    count = pieces = 0
    for line in lines:
        count, pieces = count + 1, pieces + len(line.pieces)
        if count > MAX_LYRICS_LINES or pieces > _MAX_PIECES:
            raise LyricsTooLong(
                f"the timing file has more than {MAX_LYRICS_LINES:,} lines or {_MAX_PIECES:,} times", field=FIELD
            )
        yield line


def _continued(lines: Iterable[Line]) -> list[Line]:
    """Join lines without a time to the line before them. Before the first time they are not shown."""
    joined: list[Line] = []
    for line in lines:
        if line.start is not None:
            joined.append(line)
            continue
        # A line with several times is in the list once for each.
        place = joined[-1].place if joined else None
        for index in range(len(joined) - 1, -1, -1):
            if joined[index].place != place or not joined[index].pieces:
                break
            joined[index] = _longer(joined[index], line.pieces[0].text)
    return joined


def _longer(line: Line, text: str) -> Line:
    *pieces, last = line.pieces
    if line.has_words:
        return replace(line, pieces=(*line.pieces, Piece(f" {text}", None, None)))
    joined = join_lines([last.text.strip(), text])
    check_lines([joined], FIELD)
    return replace(line, pieces=(*pieces, replace(last, text=joined)))


def _by_start(lines: Iterable[Line]) -> list[Line]:
    """Sort the lines of a format that allows any order."""
    return sorted(lines, key=lambda line: line.start or 0.0)


def _arranged(lines: Iterable[Line]) -> GivenTimes:
    """Check the lines, join those that begin together, and end each where the next one begins."""
    checked = _joined([_checked(line) for line in lines])
    for line, before in zip(checked[1:], checked, strict=False):
        if line.start is not None and before.start is not None and line.start < before.start:
            raise invalid(line.place, f"begins at {line.start:g} s, before the line above it ({before.start:g} s)")
    limit, overlaps = math.inf, 0
    ended: list[Line] = []
    for line in reversed(checked):
        overlaps += line.end is not None and line.end > limit + _OVERLAP_SECONDS
        if line.pieces:
            ended.append(_ended(line, limit))
        limit = limit if line.start is None else line.start
    if not ended:
        raise InvalidTiming("the timing file contains no words", field=FIELD)
    cut = f"lines of the timing file that overlap the next one, and end where it begins: {overlaps:,}"
    return GivenTimes(ended[::-1], [cut] if overlaps else [])


def _checked(line: Line) -> Line:
    """Return the line with the times of its pieces in order.

    Raises:
        InvalidTiming: It ends before it begins, or a word begins before the one before it.
        LyricsTooLong: It has too much text.
    """
    check_lines([" ".join("".join(piece.text for piece in line.pieces).split())], FIELD)
    if line.start is not None and line.end is not None and line.end < line.start - _EQUAL_SECONDS:
        raise invalid(line.place, f"ends at {line.end:g} s, before it begins ({line.start:g} s)")
    timed = [(piece.text.strip()[:40], piece.start, piece.end) for piece in line.pieces if piece.start is not None]
    for (_, before, _), (word, start, _) in pairwise(timed):
        if start < before - _EQUAL_SECONDS:
            raise invalid(line.place, f"runs backwards: {word!r} begins at {start:g} s, after {before:g} s")
    for word, start, end in timed:
        if end is not None and end < start - _EQUAL_SECONDS:
            raise invalid(line.place, f"has a word that ends before it begins: {word!r} at {start:g} s")
    return line


def _joined(lines: Sequence[Line]) -> list[Line]:
    """Join lines that begin together, such as a text and its translation, because one caption is shown at a time."""
    joined: list[Line] = []
    for line in lines:
        above = joined[-1] if joined else None
        if above is None or line.start is None or line.start != above.start or not (line.pieces and above.pieces):
            joined.append(line)
            continue
        texts = ["".join(piece.text for piece in one.pieces).strip() for one in (above, line)]
        if texts[0] != texts[1]:
            ends = [one.end for one in (above, line) if one.end is not None]
            end = max(ends, default=None)
            joined[-1] = Line(above.place, line.start, end, (Piece(join_lines(texts), line.start, end),))
    return joined


def _ended(line: Line, limit: float) -> Line:
    """Return the line with an end for each piece that has a start, no later than ``limit``."""
    least = _LEAST_WORD_SECONDS if line.has_words else _LEAST_LINE_SECONDS
    return replace(line, pieces=tuple(_piece_ended(piece, limit, least) for piece in line.pieces))


def _piece_ended(piece: Piece, limit: float, least: float) -> Piece:
    if piece.start is None:
        return piece
    usual = piece.start + max(least, _CHARACTER_SECONDS * len(piece.text.strip()))
    end = usual if piece.end is None else piece.end
    start = min(piece.start, limit)
    return replace(piece, start=start, end=max(start, min(end, limit)))
