"""The words of subtitles, ASS and TTML, that were given as lyrics. Each expression takes linear time."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

_EVENT = re.compile(r"Dialogue:\s*[^,\n]{0,32},\s*(\d{1,3}):(\d{1,2}):(\d{1,2}[.,:]\d{1,3})\s*,")
_ASS_KIND = re.compile(r"[A-Za-z]{1,32}:|\[|;|!:")
_ASS_BLOCK = re.compile(r"(?<!\\)\{([^{}]*)\}")
_ASS_DRAWING = re.compile(r"\\p(\d)")
#: Of an ASS file without the line ``Format:`` of its events.
_COLUMNS = ("layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text")
_TTML = re.compile(r"\s*(?:<[?!][^<>]*>\s*)*<(?:\w{1,32}:)?tt[\s>]")
_TAG = re.compile(r"<([^<>]*)>")
#: In a tag: whether it ends an element, and the element.
_ELEMENT = re.compile(r"(/?)(?:\w{1,32}:)?(p|br)(?![\w:.-])")


def subtitle_lines(text: str) -> list[str] | None:
    """Return the lines of ASS in the order of their times, or those of TTML; ``None`` if the text is neither."""
    lines = text.split("\n")
    if any(map(_EVENT.match, lines)):
        return [words for _, words in sorted(_ass_events(lines), key=lambda event: event[0]) if words]
    return [words for words in _ttml_lines(text) if words] if _TTML.match(text) else None


def _ass_events(lines: Sequence[str]) -> Iterator[tuple[float, str]]:
    columns: Sequence[str] = _COLUMNS
    for line in _joined(lines):
        kind, _, rest = line.partition(":")
        if kind == "Format" and "text" in rest.lower():
            columns = [name.strip().lower() for name in rest.split(",")]
        event = dict(zip(columns, rest.split(",", len(columns) - 1), strict=False))
        start = _EVENT.match(f"Dialogue:{rest}")
        effect = event.get("effect", "").strip().lower()
        # A karaoke template writes its lines as ``fx`` and keeps the original as a comment.
        if start is None or effect == "fx" or kind != ("Comment" if effect == "karaoke" else "Dialogue"):
            continue
        seconds = int(start[1]) * 3600 + int(start[2]) * 60 + float(re.sub("[,:]", ".", start[3]))
        yield seconds, _ass_text(event.get("text", ""))


def _joined(lines: Sequence[str]) -> Iterator[str]:
    r"""Yield the lines, with one that was broken at ``\n``, ASS's soft line break, as one again."""
    whole = ""
    for line in lines:
        if _ASS_KIND.match(line) or not line.strip():
            yield whole
            whole = line
        else:
            whole += f" {line}"
    yield whole


def _ass_text(text: str) -> str:
    shown, drawing = "", False
    for index, part in enumerate(_ASS_BLOCK.split(text)):
        if index % 2:
            drawn = _ASS_DRAWING.findall(part)
            drawing = drawn[-1] != "0" if drawn else drawing
        elif not drawing:
            shown += re.sub(r"\\[Nnh]", " ", part).replace("\\{", "{").replace("\\}", "}")
    return " ".join(shown.split())


def _ttml_lines(text: str) -> Iterator[str]:
    """Yield the text of each paragraph."""
    inside, words, position = False, "", 0
    for tag in _TAG.finditer(text):
        words += text[position : tag.start()] if inside else ""
        position = tag.end()
        element = _ELEMENT.match(tag[1])
        if element is None:
            continue
        if element[2] == "br":
            words += " "
            continue
        if element[1]:
            yield " ".join(html.unescape(words).split())
        inside, words = not (element[1] or tag[1].endswith("/")), ""
