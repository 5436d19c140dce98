"""Where the sound of a file of any accepted kind should end, read from its headers without decoding it."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines.media.inspect.sniff import adts_length
from pipelines.media.inspect.sound_headers import MAX_AUDIO_BYTES, SoundExtent, mp3_extent, wav_extent


def extent_of(path: Path, kind: str) -> SoundExtent:
    """Return where the sound of ``path`` is. Nothing is known about a FLAC file.

    Raises:
        struct.error, IndexError: The file ends before the sound begins.
    """
    if kind in ("wav", "mp3"):
        return {"wav": wav_extent, "mp3": mp3_extent}[kind](path)
    extent = SoundExtent(0, path.stat().st_size)
    if kind in _WALKS and extent.size:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            end = 0
            for start, end in _WALKS[kind](data):
                if data[start : start + 4] == b"SSND":
                    extent.start, extent.stated_end = start, end if end - start <= MAX_AUDIO_BYTES else 0
            extent.is_cut = kind != "aiff" and end > extent.size
    return extent


def _aiff_chunks(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Yield start and end of each chunk of an AIFF file; a chunk of odd length is padded."""
    position = 12
    while position + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, position + 4)
        yield position, position + 8 + length
        position += 8 + length + length % 2


def _mp4_boxes(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Yield start and end of each outer box, ISO/IEC 14496-12 clause 4.2; one of length 0 ends with the file."""
    position = 0
    while position + 16 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, position + 8)
        if length < 8:
            return
        yield position, position + length
        position += length


def _ogg_pages(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Yield start and end of each page, RFC 3533 section 6. Other data are skipped."""
    position = 0
    while (position := data.find(b"OggS", position)) >= 0:
        lengths = data[position + 27 : position + 27 + data[position + 26]] if position + 27 <= len(data) else b""
        # A page that ends inside its own header has at least that length.
        end = position + 27 + sum(lengths) + (data[position + 26] if lengths else 1)
        yield position, end
        position = end


def _adts_frames(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Yield start and end of each AAC frame at the start of the file and behind an ID3v2 tag."""
    position = 0
    if data[:3] == b"ID3":
        position = 10 + (data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9])
    while data[position : position + 1] == b"\xff":
        header = data[position : position + 7]
        length = adts_length(header) if len(header) == 7 else 8
        if length <= 7:
            return
        yield position, position + length
        position += length


_WALKS: dict[str, Callable[[mmap.mmap], Iterator[tuple[int, int]]]] = {
    "aac": _adts_frames,
    "aiff": _aiff_chunks,
    "m4a": _mp4_boxes,
    "mp4": _mp4_boxes,
    "ogg": _ogg_pages,
}
