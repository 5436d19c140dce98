"""``captions.lrc`` and ``captions.ass``: the lines of the lyrics, with the times of their words if these are known.

Their times are those of the words and not those of frames, so that a file that was taken in comes out with its times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.media.captions.word_groups import group_words
from schemas.words import TimedWord

#: Size of an ASS file's canvas where there is no video.
SIZE = (1920, 1080)
#: A pause in hundredths of a second from which on an LRC line gets an end.
_PAUSE = 5
#: Primary colour is that of sung words, secondary that of the words to come.
_ASS_HEADER = """\
[Script Info]
ScriptType: v4.00+
PlayResX: {width}
PlayResY: {height}
WrapStyle: 0
ScaledBorderAndShadow: yes

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Noto Sans,{size},&H0000FFFF,&H00FFFFFF,&H00000000,&H80000000,-1,0,0,0,100,100,0,0,1,3,1,2,60,60,{low},1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@dataclass(frozen=True, slots=True)
class _Word:
    """The text of a word with what is before it in its line, and its times in hundredths of a second."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Line:
    words: list[_Word]
    #: Whether any time of its words is more than interpolated.
    known: bool

    @property
    def start(self) -> int:
        return self.words[0].start

    @property
    def end(self) -> int:
        return self.words[-1].end

    @property
    def text(self) -> str:
        return "".join(word.text for word in self.words)


def write_line_files(
    folder: Path,
    lyrics: str,
    words: Sequence[TimedWord],
    *,
    seconds: float,
    offset: float,
    size: tuple[int, int] = SIZE,
) -> None:
    """Write ``captions.lrc`` and ``captions.ass``; ``offset`` is added to all times, and what is outside left out."""
    lines = _lines(lyrics, words, seconds, offset)
    (folder / "captions.lrc").write_text(_lrc(lines), encoding="utf-8", newline="\n")
    (folder / "captions.ass").write_text(_ass(lines, size), encoding="utf-8", newline="\n")


def line_words(lyrics: str, words: Sequence[TimedWord]) -> list[list[tuple[str, TimedWord]]]:
    """Return the words by lines, each with the characters before it in its line."""
    lines = []
    for line in group_words(lyrics, max(1, len(words))):
        members, position = [], 0
        for word in words[line.first : line.first + line.count]:
            start = line.text.index(word.text, position)
            members.append((line.text[position:start], word))
            position = start + len(word.text)
        lines.append(members)
    return lines


def _lines(lyrics: str, words: Sequence[TimedWord], seconds: float, offset: float) -> list[_Line]:
    def hundredths(time: float) -> int:
        return round(min(max(time + offset, 0.0), seconds) * 100)

    lines = []
    for members in line_words(lyrics, words):
        if members[-1][1].end + offset > 0 and members[0][1].start + offset < seconds:
            timed = [
                _Word(before + word.text, hundredths(word.start), hundredths(word.end)) for before, word in members
            ]
            lines.append(_Line(timed, any(word.heard for _, word in members)))
    return lines


def _lrc(lines: Sequence[_Line]) -> str:
    written = []
    for index, line in enumerate(lines):
        text = line.text
        if line.known:
            text = "".join(f"{_gap(word)}<{_lrc_time(word.start)}>{word.text.lstrip()}" for word in line.words)
            text += f"<{_lrc_time(line.end)}>"
        written.append(f"[{_lrc_time(line.start)}]{text}\n")
        if index + 1 == len(lines) or lines[index + 1].start - line.end >= _PAUSE:
            written.append(f"[{_lrc_time(line.end)}]\n")
    return "".join(written)


def _gap(word: _Word) -> str:
    return word.text[: len(word.text) - len(word.text.lstrip())]


def _lrc_time(hundredths: int) -> str:
    return f"{hundredths // 6000:02}:{hundredths // 100 % 60:02}.{hundredths % 100:02}"


def _ass(lines: Sequence[_Line], size: tuple[int, int]) -> str:
    width, height = size
    header = _ASS_HEADER.format(width=width, height=height, size=min(size) * 6 // 100, low=height // 8)
    events = (
        f"Dialogue: 0,{_ass_time(line.start)},{_ass_time(line.end)},Default,,0,0,0,,{_ass_words(line)}\n"
        for line in lines
    )
    return header + "".join(events)


def _ass_words(line: _Line) -> str:
    if not line.known:
        return _escaped(line.text)
    ends = [*(word.start for word in line.words[1:]), line.end]
    return "".join(
        f"{_gap(word)}{{\\k{max(0, end - word.start)}}}{_escaped(word.text.lstrip())}"
        for word, end in zip(line.words, ends, strict=True)
    )


def _escaped(text: str) -> str:
    r"""Return text for an ASS event. A word joiner, which is not drawn, ends ``\N``; braces have escapes."""
    return text.replace("\\", "\\\u2060").replace("{", "\\{").replace("}", "\\}")


def _ass_time(hundredths: int) -> str:
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 100:02}.{rest % 100:02}"
