"""Lyrics that were uploaded as a file: plain text, or LRC with its time tags."""

from __future__ import annotations

import re

from schemas.errors import InvalidField

_TAG = re.compile(r"\s*\[(\d{1,3}):(\d{1,2}(?:[.:]\d{1,3})?)\]")
_WORD_TAG = re.compile(r"<\d{1,3}:\d{1,2}(?:[.:]\d{1,3})?>")
#: About the song, not of it.
_ABOUT = re.compile(r"\[(ar|al|ti|au|by|re|ve|la|length|offset|tool|#):[^\]]*\]", re.IGNORECASE)


def lyrics_text(content: bytes, uri: str) -> str:
    """The lines to be sung.

    Args:
        content: the file, in UTF-8 with or without a byte order mark.
        uri: what it is called; one that ends in ``.lrc`` is read as LRC.

    Raises:
        InvalidField: it is no text in UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidField(f"data.lyrics: {uri} is not UTF-8 (byte {error.start})", field="data.lyrics") from None
    if "\x00" in text:
        raise InvalidField(f"data.lyrics: {uri} holds NUL characters; it is no text", field="data.lyrics")
    if not uri.lower().endswith(".lrc"):
        return text
    return "\n".join(_sung(text))


def _sung(text: str) -> list[str]:
    """The lines in the order of their times; one with several times is sung as often."""
    lines: list[tuple[float, str]] = []
    last = 0.0
    for line in text.splitlines():
        if _ABOUT.fullmatch(line.strip()):
            continue
        times: list[float] = []
        while tag := _TAG.match(line):
            times.append(int(tag[1]) * 60 + float(tag[2].replace(":", ".")))
            line = line[tag.end() :]
        words = " ".join(_WORD_TAG.sub(" ", line).split())
        last = times[-1] if times else last
        lines += [(time, words) for time in times or [last]]
    return [words for _, words in sorted(lines, key=lambda item: item[0])]
