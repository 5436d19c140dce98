"""Bytes of unknown kind, made safe for a terminal."""

from __future__ import annotations

SHOWN_BYTES = 512


def readable(body: bytes) -> str | None:
    """The text, or ``None`` when it is no UTF-8 or would play tricks on a terminal."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\n\t\r" for c in text) else None


def hexdump(body: bytes, *, limit: int = SHOWN_BYTES) -> str:
    """Sixteen bytes a line: offset, hexadecimal, and the printable ASCII among them."""
    lines = []
    for start in range(0, min(len(body), limit), 16):
        row = body[start : start + 16]
        plain = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):47}  {plain}")
    if len(body) > limit:
        lines.append(f"… {len(body) - limit:,} more bytes; --raw writes them all")
    return "\n".join(lines)
