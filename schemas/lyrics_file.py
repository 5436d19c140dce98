"""Lyrics that were uploaded as a file: plain text, or LRC with time tags."""

from __future__ import annotations

import re

from schemas.errors import InvalidField

_TAG = re.compile(r"\s*\[(\d{1,3}):(\d{1,2}(?:[.:]\d{1,3})?)\]")
_WORD_TAG = re.compile(r"<\d{1,3}:\d{1,2}(?:[.:]\d{1,3})?>")
#: Metadata lines such as ``[ar:Artist]``.
_METADATA = re.compile(r"\[(ar|al|ti|au|by|re|ve|la|length|offset|tool|#):[^\]]*\]", re.IGNORECASE)


def lyrics_text(content: bytes, uri: str) -> str:
    """Return the lines that are sung, without time tags and metadata.

    Args:
        content: the file's bytes, UTF-8 with or without a byte order mark.
        uri: the file's name; a file that ends in ``.lrc`` is parsed as LRC.

    Raises:
        InvalidField: the file is not UTF-8 text.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidField(f"data.lyrics: {uri} is not UTF-8 (byte {error.start})", field="data.lyrics") from None
    if "\x00" in text:
        raise InvalidField(f"data.lyrics: {uri} contains NUL characters, so it is not a text file", field="data.lyrics")
    if not uri.lower().endswith(".lrc"):
        return text
    return "\n".join(_parse_lrc(text))


def _parse_lrc(text: str) -> list[str]:
    """Return the lines in the order of their time tags; a line with several tags is repeated."""
    lines: list[tuple[float, str]] = []
    last = 0.0
    for line in text.splitlines():
        if _METADATA.fullmatch(line.strip()):
            continue
        times: list[float] = []
        while tag := _TAG.match(line):
            times.append(int(tag[1]) * 60 + float(tag[2].replace(":", ".")))
            line = line[tag.end() :]
        words = " ".join(_WORD_TAG.sub(" ", line).split())
        last = times[-1] if times else last
        lines += [(time, words) for time in times or [last]]
    return [words for _, words in sorted(lines, key=lambda item: item[0])]
