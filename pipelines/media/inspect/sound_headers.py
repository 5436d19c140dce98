"""Read from the headers of a WAV or MP3 file how long it should be, without decoding it."""

from __future__ import annotations

import mmap
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pipelines.media.inspect.sniff import mpeg_frame_length

#: Largest audio input of any job type.
MAX_AUDIO_BYTES = 100 * 1024 * 1024
#: A length that differs by less than this many bytes is a header that was counted wrongly.
HEADER_BYTES = 128
_UNKNOWN = 0xFFFFFFFF
_ZEROS = re.compile(rb"\0+")
_FRAME = re.compile(rb"\xff[\xe2-\xff]")
_INFO_FRAME = re.compile(rb"Xing|Info|VBRI")


@dataclass(slots=True)
class SoundExtent:
    """Where the sound of a file is, and where it should end."""

    #: Offset of the first byte of sound.
    start: int
    #: Size of the file.
    size: int
    #: Offset at which the sound should end. 0 if no header states it, or states a length that no input can have.
    stated_end: int = 0
    #: Whether the file ends inside a frame or a tag.
    is_cut: bool = False
    #: The parts between the frames that are not sound: tags, information frames, zeros. Offsets of start and end.
    gaps: list[tuple[int, int]] = field(default_factory=list)

    @property
    def missing_bytes(self) -> int:
        """How many bytes are missing at the end; 0 if their number is that of a header that was counted twice."""
        missing = self.stated_end - self.size
        return missing if missing > HEADER_BYTES and abs(missing - self.start) > 8 else 0


@dataclass(frozen=True, slots=True)
class _WavChunks:
    """The two chunks of a WAV file that matter, and whether FFmpeg can find the sound by the lengths in its header."""

    format: bytes
    start: int
    stated: int
    readable: bool


def wav_extent(path: Path) -> SoundExtent:
    """Return where the sound of a WAV file (RIFF, RF64 or BW64) is.

    Raises:
        struct.error: The file ends before the sound begins.
    """
    with path.open("rb") as file:
        chunks = _read_wav(file)
    stated_end = chunks.start + chunks.stated if 0 < chunks.stated <= MAX_AUDIO_BYTES else 0
    return SoundExtent(chunks.start, path.stat().st_size, stated_end)


def plain_wav(path: Path) -> bytes | None:
    """Return a WAV file whose header FFmpeg can read and whose sound ends with the file; ``None`` if ``path`` is one.

    FFmpeg finds no sound in an RF64 file whose header states no length or an impossible one, as files that are written
    into a pipe do, and no chunk behind one of odd length without its padding.
    """
    with path.open("rb") as file:
        chunks = _read_wav(file)
        if chunks.readable:
            return None
        file.seek(chunks.start)
        sound = file.read(chunks.stated if 0 < chunks.stated <= MAX_AUDIO_BYTES else -1)
    header = struct.pack("<4sI4s4sI", b"RIFF", _UNKNOWN, b"WAVE", b"fmt ", len(chunks.format))
    return header + chunks.format + struct.pack("<4sI", b"data", _UNKNOWN) + sound


def _read_wav(file: BinaryIO) -> _WavChunks:
    """Read the chunks up to the sound, EBU Tech 3306 and ITU-R BS.2088."""
    form, riff_size = struct.unpack("<4sI4x", file.read(12))
    is_riff, long_sizes, padded, format_ = form == b"RIFF", (0, 0, 0), True, b""
    while True:
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            break
        body = file.read(length)
        if name == b"ds64" and not is_riff:
            long_sizes = struct.unpack_from("<QQQ", body)
        elif name == b"fmt ":
            format_ = body
        if length % 2:
            following = file.read(5)
            is_padded = following[:1] == b"\0" or following[1:] == b"data"
            file.seek(is_padded - len(following), os.SEEK_CUR)
            padded = padded and is_padded
    start = file.tell()
    if not is_riff:
        riff_size = long_sizes[0]
        length = long_sizes[1] if length == _UNKNOWN else length
    has_length = is_riff or (0 < long_sizes[1] < 1 << 63 and long_sizes[2] < 1 << 63)
    # A length that does not fit into the file's own length is a placeholder.
    stated = length if start + length <= riff_size + 8 + HEADER_BYTES else 0
    return _WavChunks(format_, start, stated, padded and has_length)


def mp3_extent(path: Path) -> SoundExtent:
    """Return where the sound of an MP3 file is; the file is walked from frame to frame.

    Raises:
        struct.error: The file is empty.
    """
    size = path.stat().st_size
    if size == 0:
        raise struct.error
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = SoundExtent(-1, size)
        position = end = 0
        for position, end, is_frame in _mp3_parts(data):
            if is_frame and found.start < 0:
                found.start = position
            stated = _stated_bytes(data[position : position + 200]) if is_frame else None
            if stated is not None and 0 < stated <= MAX_AUDIO_BYTES:
                found.stated_end = position + stated
            if stated is not None or not is_frame:
                found.gaps.append((position, end))
    found.start = max(found.start, 0)
    # What follows where the sound should end, and only looks like a frame, was not cut.
    ends_as_stated = 0 < found.stated_end <= size and position <= found.stated_end + 2 * (end - position)
    found.is_cut = end > size and not ends_as_stated
    return found


def _mp3_parts(data: mmap.mmap) -> Iterator[tuple[int, int, bool]]:
    """Yield start and end of each frame, tag and run of zeros, and whether it is a frame. Other data are skipped."""
    position, size = 0, len(data)
    while position + 4 <= size:
        length = mpeg_frame_length(data[position : position + 4])
        end = position + length if length else _end_of_tag(data, position)
        if end > position:
            yield position, end, length > 0
            position = end
        else:
            position = _next_frame(data, position + 1)


def _next_frame(data: mmap.mmap, position: int) -> int:
    """Return the offset of the next frame that another frame, a tag or the end of the file follows."""
    size = len(data)
    while found := _FRAME.search(data, position):
        position = found.start()
        length = mpeg_frame_length(data[position : position + 4].ljust(4))
        end = position + length
        if length and (end == size or (end + 4 <= size and _begins_part(data, end))):
            return position
        position += 1
    return size


def _begins_part(data: mmap.mmap, position: int) -> bool:
    return mpeg_frame_length(data[position : position + 4]) > 0 or _end_of_tag(data, position) > position


def _end_of_tag(data: mmap.mmap, position: int) -> int:
    """Return the offset at which the tag or the zeros at ``position`` end; ``position`` if there are none.

    The tags are ID3v2.4 (section 3.1), ID3v1 with its extension, APEv2 and Lyrics3.
    """
    head = data[position : position + 32]
    if head[:1] == b"\0":
        zeros = _ZEROS.match(data, position)
        return position if zeros is None else zeros.end()
    if head[:3] == b"ID3" and len(head) >= 10 and not any(byte & 0x80 for byte in head[6:10]):
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return position + 10 + size + (10 if head[5] & 0x10 else 0)
    if head[:3] == b"TAG":
        return min(position + (227 if head[3:4] == b"+" else 128), len(data))
    if head[:8] == b"APETAGEX" and len(head) == 32:
        size, flags = struct.unpack_from("<I4xI", head, 12)
        return min(position + 32 + (size if flags & 1 << 29 else 0), len(data))
    if head[:11] == b"LYRICSBEGIN":
        ends = (data.find(mark, position) for mark in (b"LYRICS200", b"LYRICSEND"))
        return min((end + 9 for end in ends if end > 0), default=position)
    return position


def _stated_bytes(frame: bytes) -> int | None:
    """Return the number of bytes that an information frame states, 0 if it states none; ``None`` for other frames."""
    found = _INFO_FRAME.search(frame, 4, 44)
    if found is None:
        return None
    at = found.start()
    if found[0] == b"VBRI" or len(frame) < at + 16 or not frame[at + 7] & 2:
        return 0
    (stated,) = struct.unpack_from(">I", frame, at + (12 if frame[at + 7] & 1 else 8))
    return int(stated)
