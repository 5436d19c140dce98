"""Unknown bytes, printed safely on a terminal."""

from __future__ import annotations

SHOWN_BYTES = 512


def readable(body: bytes) -> str | None:
    """Return the text, or ``None`` if it is not UTF-8 or contains terminal control characters."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\n\t\r" for c in text) else None


def hexdump(body: bytes, *, limit: int = SHOWN_BYTES) -> str:
    """Format bytes, sixteen per line: offset, hexadecimal, and printable ASCII."""
    lines = []
    for start in range(0, min(len(body), limit), 16):
        row = body[start : start + 16]
        plain = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):47}  {plain}")
    if len(body) > limit:
        lines.append(f"… {len(body) - limit:,} more bytes; --raw writes all of them")
    return "\n".join(lines)
