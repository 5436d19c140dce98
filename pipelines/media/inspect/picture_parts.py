"""Separate a picture's pixels from its metadata, so that metadata can neither refuse a picture nor exhaust its decoder.

The decoder gets a file without metadata. Only the colour profile and the orientation are read, within limits. Pillow
reads all metadata when it opens a file, and refuses the file for faults in it.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass, field

from schemas.errors import InvalidImage

#: Most scans of a JPEG. Encoders write about ten; every scan costs a pass over all pixels.
MAX_SCANS = 100
#: Longest colour profile and longest text that are decompressed; the limit of a profile in a JPEG is about the same.
_MAX_PROFILE_BYTES = 16 * 1024**2
_MAX_TEXT_BYTES = 1024**2

# JPEG markers, ISO/IEC 10918-1 table B.1. Stuffed bytes (FF 00) and restart markers are part of the pixels.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_TEM, _SOI, _EOI, _SOS, _APP0, _APP1, _APP2, _APP14, _APP15, _COM = (
    *(0x01, 0xD8, 0xD9, 0xDA),
    *(0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE),
)
_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_IN_PNG = b"XML:com.adobe.xmp"
_EXIF_IN_TEXT = b"Raw profile type exif"
_WEBP_METADATA_FLAGS = 0x20 | 0x08 | 0x04
_WEBP_PIXELS = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
#: The entry of EXIF data in the list of items of an AVIF or HEIC file, ISO/IEC 14496-12 clause 8.11.6.
_EXIF_ITEM = re.compile(rb"(infe[\2\3]...(?:..|....)..)Exif", re.DOTALL)
#: The property with the colours of an AVIF or HEIC file, ISO/IEC 14496-12 clause 12.1.5, and where it is.
_NCLX, _META_BYTES = re.compile(rb"colrnclx(.{4})", re.DOTALL), 65_536
_EXIF_ORIENTATION = 0x0112
#: The formats of struct for the EXIF types BYTE, SHORT and LONG.
_EXIF_INTEGERS = {1: "B", 3: "H", 4: "I"}
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


@dataclass(slots=True)
class PictureParts:
    """The parts of a picture file. ``pixels`` is a file of the same kind, without metadata that its decoder parses."""

    pixels: bytes
    profile: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    #: Colour primaries and transfer function, ITU-T H.273; zeros if they are not stated.
    cicp: tuple[int, int] = (0, 0)

    @property
    def orientation(self) -> int:
        """The EXIF orientation, 1 to 8; 1 (upright) if there is none or it cannot be read."""
        return _exif_orientation(self.exif) or _xmp_orientation(self.xmp) or 1


def split(data: bytes, kind: str) -> PictureParts:
    """Return the parts of the picture ``data``, which is of ``kind``, one of ``PICTURE_KINDS``.

    Data that are not of this kind are left for the decoder to refuse.

    Raises:
        InvalidImage: It is a JPEG of more than ``MAX_SCANS`` scans.
    """
    return {"jpeg": _split_jpeg, "png": _split_png, "webp": _split_webp}.get(kind, _split_heif)(data)


@dataclass(slots=True)
class _JpegSegments:
    """What the segments of a JPEG contain: ``kept`` are those that the pixels need."""

    kept: list[bytes] = field(default_factory=list)
    profile: dict[int, bytes] = field(default_factory=dict)
    profile_count: int = 0
    exif: bytes = b""
    xmp: bytes = b""

    def add(self, marker: int, segment: bytes) -> None:
        """Add one segment with its marker and length."""
        body = segment[4:]
        if marker == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
            self.kept.append(segment)
        elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            self.kept.append(segment)  # says how the colours are stored
        elif marker == _APP1 and body.startswith(b"Exif\0\0"):
            self.exif += body[6:] if len(self.exif) < _MAX_TEXT_BYTES else b""
        elif marker == _APP1 and body.startswith(_XMP_IN_JPEG):
            self.xmp = body[len(_XMP_IN_JPEG) :]
        elif marker == _APP2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
            self.profile[body[12]], self.profile_count = body[14:], body[13]
        elif not (_APP0 <= marker <= _APP15 or marker == _COM):
            self.kept.append(segment)

    def parts(self) -> PictureParts:
        """Return the parts; a profile that lacks a segment is left out."""
        numbers = range(1, self.profile_count + 1)
        profile = b"".join(self.profile.get(number, b"") for number in numbers)
        whole = all(number in self.profile for number in numbers)
        return PictureParts(b"".join(self.kept), profile if whole else b"", self.exif, self.xmp)


def _split_jpeg(data: bytes) -> PictureParts:
    if not data.startswith(b"\xff\xd8\xff"):
        return PictureParts(data)
    segments, scans, position = _JpegSegments(), 0, 0
    while found := _MARKER.search(data, position):
        marker = found[1][0]
        if scans:  # what precedes the marker are pixels
            segments.kept.append(data[position : found.start()])
        position = found.end()
        if marker in (_TEM, _SOI, _EOI):
            segments.kept.append(bytes((0xFF, marker)))
            if marker == _EOI:
                return segments.parts()
            continue
        scans += marker == _SOS
        if scans > MAX_SCANS:
            raise InvalidImage(
                f"the image has more than {MAX_SCANS} scans; save it again as a baseline JPEG", field="data.image"
            )
        end = position + int.from_bytes(data[position : position + 2])
        segments.add(marker, bytes((0xFF, marker)) + data[position:end])
        position = max(end, position + 2)
    segments.kept.append(data[position:])
    return segments.parts()


def _split_png(data: bytes) -> PictureParts:
    """Keep the critical chunks and the transparency, ISO/IEC 15948 clause 5.3."""
    parts, kept, position = PictureParts(b""), [data[:8]], 8
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if name[:1].isupper() or name == b"tRNS" or not name.isalpha():
            kept.append(data[position:end])
        else:
            _read_png_chunk(parts, name, data[position + 8 : end - 4])
        if name == b"IEND":
            break
        position = end
    parts.pixels = b"".join(kept)
    return parts


def _read_png_chunk(parts: PictureParts, name: bytes, body: bytes) -> None:
    if name == b"eXIf":
        parts.exif = body
        return
    if name == b"cICP" and len(body) == 4:
        parts.cicp = body[0], body[1]
        return
    if name not in (b"iCCP", b"tEXt", b"zTXt", b"iTXt"):
        return
    key, _, rest = body.partition(b"\0")
    if name == b"iCCP":
        parts.profile = _inflate(rest[1:], _MAX_PROFILE_BYTES)
    elif key in (_XMP_IN_PNG, _EXIF_IN_TEXT):
        text = _png_text(name, rest)
        if key == _XMP_IN_PNG:
            parts.xmp = text
        elif not parts.exif:
            parts.exif = _hexadecimal(text)


def _png_text(name: bytes, rest: bytes) -> bytes:
    """Return the text behind the keyword of a text chunk, ISO/IEC 15948 clause 11.3.4."""
    if name == b"zTXt":
        return _inflate(rest[1:], _MAX_TEXT_BYTES)
    if name == b"iTXt":
        text = rest[2:].split(b"\0", 2)[-1]
        return _inflate(text, _MAX_TEXT_BYTES) if rest[:1] == b"\1" else text
    return rest


def _hexadecimal(text: bytes) -> bytes:
    """Return the EXIF data that ImageMagick writes as text: a name, a length, then hexadecimal digits."""
    digits = b"".join(text.split()[2:])
    return bytes.fromhex(digits.decode()) if re.fullmatch(rb"(?:[0-9a-fA-F]{2})*", digits) else b""


def _inflate(data: bytes, limit: int) -> bytes:
    """Return ``data`` decompressed; nothing if it is damaged or longer than ``limit``."""
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(data, limit)
    except zlib.error:
        return b""
    return b"" if inflate.unconsumed_tail else plain


def _split_webp(data: bytes) -> PictureParts:
    """Keep the chunks of the pixels, RFC 9649 section 2.7; the lengths in the headers are kept too."""
    parts, kept, position, length = PictureParts(b""), [b""], 12, 4
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        end = position + 8 + size + size % 2
        body = data[position + 8 : position + 8 + size]
        if name == b"VP8X" and body:
            kept.append(data[position : position + 8] + bytes((body[0] & ~_WEBP_METADATA_FLAGS & 0xFF,)) + body[1:])
        elif name in _WEBP_PIXELS:
            kept.append(data[position:end] + (b"\0" if end == len(data) + 1 else b""))
        elif name == b"ICCP" and size <= _MAX_PROFILE_BYTES:
            parts.profile = body
        elif name == b"EXIF":
            parts.exif = body
        elif name == b"XMP ":
            parts.xmp = body
        length += end - position if name in _WEBP_PIXELS else 0
        position = end
    kept[0] = data[:4] + struct.pack("<I", min(length, 0xFFFFFFFE)) + data[8:12]
    parts.pixels = b"".join(kept)
    return parts


def _split_heif(data: bytes) -> PictureParts:
    """Hide the EXIF data of an AVIF or HEIC file, ISO/IEC 23008-12 annex A.

    The orientation and the colour profile are properties of the picture, which the decoder reads.
    """
    colors = _NCLX.search(data, 0, _META_BYTES)
    cicp = struct.unpack(">HH", colors[1]) if colors else (0, 0)
    return PictureParts(_EXIF_ITEM.sub(rb"\1free", data), cicp=(cicp[0], cicp[1]))


def _exif_orientation(exif: bytes) -> int | None:
    """Return the orientation in the first directory of EXIF data, TIFF 6.0 section 2; nothing else is read."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, directory)
        for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
            tag, type_, count = struct.unpack_from(f"{order}HHI", exif, entry)
            if tag == _EXIF_ORIENTATION and type_ in _EXIF_INTEGERS and count == 1:
                (value,) = struct.unpack_from(order + _EXIF_INTEGERS[type_], exif, entry + 8)
                return value if 1 <= value <= 8 else None
    except struct.error:
        pass  # the data are cut off
    return None


def _xmp_orientation(xmp: bytes) -> int | None:
    found = _XMP_ORIENTATION.search(xmp)
    return int(found[1]) if found else None
