"""Read and write the bits of an H.264 NAL unit, with its emulation prevention bytes.

Clause numbers are those of ITU-T H.264 (08/2021).
"""

from __future__ import annotations

import re

#: Two zero bytes before one that would make them a start code, or look like an emulation prevention byte.
_TO_ESCAPE = re.compile(rb"\0\0(?=[\0-\3])")


class BitReader:
    """Reads fixed-length and Exp-Golomb codes from a raw byte sequence payload, most significant bit first."""

    def __init__(self, payload: bytes) -> None:
        self._bits = int.from_bytes(payload, "big")
        self._length = len(payload) * 8
        #: Number of bits read so far.
        self.position = 0

    def u(self, count: int) -> int:
        """Read an unsigned number of ``count`` bits (clause 7.2).

        Raises:
            EOFError: Fewer than ``count`` bits are left.
        """
        if self.position + count > self._length:
            raise EOFError("the payload ends inside a syntax element")
        self.position += count
        return self._bits >> (self._length - self.position) & ((1 << count) - 1)

    def ue(self) -> int:
        """Read an unsigned Exp-Golomb number (clause 9.1)."""
        zeros = 0
        while self.u(1) == 0:
            zeros += 1
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """Read a signed Exp-Golomb number (clause 9.1.1)."""
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


class BitWriter:
    """Collects bits, most significant bit first. For headers and other short payloads: the bits are one integer."""

    def __init__(self) -> None:
        self._value = 0
        #: Number of bits written so far.
        self.length = 0

    def u(self, value: int, count: int) -> None:
        """Append ``value`` as ``count`` bits."""
        self._value = self._value << count | value
        self.length += count

    def ue(self, value: int) -> None:
        """Append an unsigned Exp-Golomb number (clause 9.1)."""
        self.u(value + 1, 2 * (value + 1).bit_length() - 1)

    def se(self, value: int) -> None:
        """Append a signed Exp-Golomb number (clause 9.1.1)."""
        self.ue(2 * value - 1 if value > 0 else -2 * value)

    def getvalue(self) -> bytes:
        """Return the bits so far, padded with zeros to whole bytes."""
        padding = -self.length % 8
        return (self._value << padding).to_bytes((self.length + padding) // 8, "big")


def unescape(payload: bytes) -> bytes:
    """Return ``payload`` without emulation prevention bytes (clause 7.4.1)."""
    return payload.replace(b"\0\0\3", b"\0\0")


def escape(payload: bytes) -> bytes:
    """Return ``payload`` with an emulation prevention byte wherever clause 7.4.1 requires one."""
    return _TO_ESCAPE.sub(b"\0\0\3", payload)


def split_nals(stream: bytes) -> list[bytes]:
    """Return the NAL units of an Annex B byte stream (clause B.1), without start codes and trailing zero bytes."""
    units = []
    start = stream.find(b"\0\0\1")
    while start >= 0:
        following = stream.find(b"\0\0\1", start + 3)
        unit = stream[start + 3 : following if following >= 0 else len(stream)]
        units.append(unit.rstrip(b"\0"))
        start = following
    return units
