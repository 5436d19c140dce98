"""Detect the kind of a file from its first bytes. File names and content types from outside are never trusted.

No library is used, because those tried give wrong answers for inputs that matter here: puremagic does not recognise MP3
with an ID3 tag, FLAC after an ID3 tag or M4A, and accepts M3U8 playlists; filetype does not recognise RF64, and takes
FLAC after an ID3 tag for MP3.
"""

from __future__ import annotations

from collections.abc import Collection

from schemas.errors import InputError, InvalidAudio, InvalidImage

#: Number of bytes to pass to ``sniff``. Fewer are accepted.
HEAD_BYTES = 4096

#: The kind of a text file, which ``sniff`` does not detect.
TEXT = "text"

#: Content type of every kind that ``sniff`` can return.
CONTENT_TYPES: dict[str, str] = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
    "avif": "image/avif",
    "heic": "image/heic",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mkv": "video/x-matroska",
    "avi": "video/x-msvideo",
}

_DISPLAY_NAMES = {
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WebP",
    "gif": "GIF",
    "mp3": "MP3",
    "wav": "WAV",
    "flac": "FLAC",
}
#: Kinds of pictures and of sound that a reel is made of. MP4 without video is sound.
PICTURE_KINDS = ("jpeg", "png", "webp", "avif", "heic")
SOUND_KINDS = ("mp3", "wav", "flac", "m4a", "mp4", "aac", "ogg", "aiff")
#: The sets of kinds that are refused with the default messages of ``InvalidImage`` and ``InvalidAudio``. They name only
#: the kinds that the source system accepted.
_DEFAULT_MESSAGE_KINDS = frozenset(
    (frozenset(("jpeg", "png")), frozenset(("mp3", "wav", "flac")), frozenset(PICTURE_KINDS), frozenset(SOUND_KINDS))
)

_PREFIXES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
)
_RIFF = {b"WAVE": "wav", b"WEBP": "webp", b"AVI ": "avi"}
_BRANDS = {b"qt  ": "mov", b"M4A ": "m4a", b"M4B ": "m4a", b"avif": "avif", b"avis": "avif"}
_BRANDS |= dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "heic")

# MPEG audio bit rates in kbit/s by (version 1?, layer), ISO/IEC 11172-3 table 2.4.2.3 and ISO/IEC 13818-3.
_RATES_1 = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_RATES_2 = {
    1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_2[3] = _RATES_2[2]
_HERTZ = (44100, 48000, 32000)


def kind_of(head: bytes, kinds: Collection[str]) -> str | None:
    """Return the kind of an input of which ``kinds`` are accepted. Text has no mark: its parser checks it."""
    return TEXT if TEXT in kinds else sniff(head)


def sniff(head: bytes) -> str | None:
    """Return the kind of the file that begins with ``head`` (a key of ``CONTENT_TYPES``), or ``None``.

    ``head`` should be the first ``HEAD_BYTES`` bytes. Text, playlists and unknown formats give ``None``.
    """
    for prefix, kind in _PREFIXES:
        if head.startswith(prefix):
            return kind
    if head[:4] in (b"RIFF", b"RF64", b"BW64"):
        return _RIFF.get(head[8:12])
    if head[:4] == b"\x1aE\xdf\xa3":
        # The document type is in the EBML header, RFC 8794 section 11.2.
        return "mkv" if b"matroska" in head[:64] else "webm"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and len(head) > 18 and head[14] in (12, 40, 108, 124):
        return "bmp"
    if head[:3] == b"ID3":
        return _behind_id3(head)
    if head[:2] in (b"\xff\xf1", b"\xff\xf9") and adts_length(head) > 7:
        return "aac"
    return "mp3" if _mpeg_frames(head) else None


def _of_brands(head: bytes) -> str:
    """Return the kind of a file of the MP4 family by its brands, ISO/IEC 14496-12 clause 4.3."""
    major, size = head[8:12], min(int.from_bytes(head[:4]), len(head))
    if major in _BRANDS:
        return _BRANDS[major]
    compatible = [head[start : start + 4] for start in range(16, size - 3, 4)]
    if major in (b"mif1", b"msf1"):
        return next((_BRANDS[brand] for brand in compatible if _BRANDS.get(brand) == "avif"), "heic")
    return next((_BRANDS[brand] for brand in compatible if _BRANDS.get(brand) == "m4a"), "mp4")


def _behind_id3(head: bytes) -> str | None:
    """Return the kind of what follows an ID3v2 tag (ID3v2.4 section 3.1): FLAC and AAC files may have one too."""
    if len(head) < 10 or head[3] == 0xFF or any(byte & 0x80 for byte in head[6:10]):
        return None
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    start = 10 + size + (10 if head[5] & 0x10 else 0)
    rest = head[start:].lstrip(b"\0")
    if rest.startswith(b"fLaC"):
        return "flac"
    if rest[:2] in (b"\xff\xf1", b"\xff\xf9") and adts_length(rest) > 7:
        return "aac"
    # A tag with a cover picture is longer than HEAD_BYTES, so what follows is unknown: it is almost always MP3.
    return "mp3"


def adts_length(head: bytes) -> int:
    """Return the length in bytes of the ADTS frame at the start, ISO/IEC 13818-7 clause 6.2; 0 when cut off."""
    return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5 if len(head) >= 6 else 0


def _mpeg_frames(head: bytes) -> bool:
    """Return whether ``head`` consists of MPEG audio frames from its first byte; the last may be cut off."""
    position, frames = 0, 0
    while position + 4 <= len(head) and frames < 3:
        length = mpeg_frame_length(head[position : position + 4])
        if length == 0:
            return False
        position += length
        frames += 1
    return frames >= 1


def mpeg_frame_length(header: bytes) -> int:
    """Return the length in bytes of the MPEG audio frame with this 4-byte header; 0 if it is not one."""
    if header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate, hertz, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or rate in (0, 15) or hertz == 3:
        return 0
    first = version == 3
    kilobits = (_RATES_1 if first else _RATES_2)[layer][rate - 1]
    sampling = _HERTZ[hertz] // (1 if first else 2 if version == 2 else 4)
    if layer == 1:
        return (12000 * kilobits // sampling + padding) * 4
    return (144000 if first or layer == 2 else 72000) * kilobits // sampling + padding


def wrong_kind(kind: str | None, kinds: Collection[str], *, field: str | None = None) -> InputError:
    """Return the error for a file of ``kind`` (``None``: unknown) where one of ``kinds`` is expected.

    The messages are those of the source systems.
    """
    is_audio = any(CONTENT_TYPES[allowed].startswith("audio/") for allowed in kinds)
    error = InvalidAudio if is_audio else InvalidImage
    if frozenset(kinds) in _DEFAULT_MESSAGE_KINDS:
        return error(field=field)
    allowed_names = ", ".join(_DISPLAY_NAMES.get(allowed, allowed.upper()) for allowed in kinds)
    got = "an unknown format" if kind is None else CONTENT_TYPES[kind]
    return error(
        f"Invalid {'audio' if is_audio else 'image'} file type. Allowed: {allowed_names}. Got: {got}", field=field
    )
