"""Measure a song by decoding it: headers may be wrong and files may be cut off."""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
from av.audio.frame import AudioFrame

from pipelines.media.inspect.sniff import mpeg_frame_length
from schemas.errors import InvalidAudio

#: Longest song that is taken, in seconds.
MAX_SECONDS = 4 * 3600
#: Share of damaged packets up to which a song counts as whole: a scratch is audible but not refused.
_DAMAGE_TOLERATED = 0.01
_FIELD = "data.audio"


@dataclass(frozen=True, slots=True)
class Sound:
    """The result of decoding a song: samples per channel at ``rate`` hertz."""

    samples: int
    rate: int
    codec: str

    @property
    def seconds(self) -> float:
        return self.samples / self.rate


def measure(path: Path, kind: str) -> Sound:
    """Decode the whole of the first audio stream of ``path`` and count.

    ``kind`` is ``mp3``, ``wav`` or ``flac`` and the only format that is tried.

    Raises:
        InvalidAudio: it holds no such audio, ends early, is damaged, empty, or longer than ``MAX_SECONDS``.
    """
    try:
        if kind == "wav":
            _check_wav(path)
        if kind == "mp3":
            _check_mp3(path)
        sound, expected = _decode(path, kind)
    except (struct.error, IndexError):
        raise _truncated("it ends inside its header") from None
    except av.FFmpegError as error:
        if isinstance(error, av.error.MemoryError):
            raise MemoryError(str(error)) from None
        raise InvalidAudio(f"the audio cannot be decoded: {error.strerror or 'damaged data'}", field=_FIELD) from None
    if sound.samples == 0:
        raise InvalidAudio("the audio is empty: it holds no samples", field=_FIELD)
    if expected and sound.samples < expected:
        raise _truncated(f"{sound.samples / sound.rate:.1f} s of {expected / sound.rate:.1f} s are there")
    return sound


def _truncated(detail: str) -> InvalidAudio:
    return InvalidAudio(f"the audio is truncated: {detail}; upload the whole file", field=_FIELD)


def _decode(path: Path, kind: str) -> tuple[Sound, int]:
    """Return the sound, and the number of samples that a FLAC header promises (0: none)."""
    options = {"format_whitelist": kind, "protocol_whitelist": "file"}
    with av.open(str(path), format=kind, options=options) as container:
        if not container.streams.audio:
            raise InvalidAudio(field=_FIELD)
        stream = container.streams.audio[0]
        try:
            rate, codec = stream.rate, stream.codec_context.name
        except AttributeError:  # there is no decoder for what its header names
            raise InvalidAudio(field=_FIELD) from None
        promised = stream.duration if kind == "flac" and stream.duration else 0
        samples = packets = damaged = 0
        for packet in container.demux(stream):
            packets += 1
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                damaged += 1
                continue
            for frame in frames:
                assert isinstance(frame, AudioFrame)
                if frame.sample_rate != rate:
                    raise InvalidAudio("the audio changes its sample rate midway; re-encode it", field=_FIELD)
                samples += frame.samples
            if samples > MAX_SECONDS * rate:
                raise InvalidAudio(f"the audio is longer than {MAX_SECONDS // 3600} hours; shorten it", field=_FIELD)
    if damaged > max(1, packets * _DAMAGE_TOLERATED) or (kind == "flac" and damaged):
        raise InvalidAudio(f"the audio is damaged: {damaged:,} of {packets:,} packets cannot be decoded", field=_FIELD)
    return Sound(samples, rate, codec), promised


def _check_wav(path: Path) -> None:
    """Compare the length of the data chunk with the file (RIFF; RF64 as in EBU Tech 3306)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        form = file.read(12)[:4]
        long_size = None
        while len(header := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", header)
            if name == b"ds64" and form != b"RIFF":
                long_size = struct.unpack("<8xQ", file.read(16))[0]
                length -= 16
            elif name == b"data":
                # Recorders that stream write 0 or all ones, and the file's end counts.
                if length == 0xFFFFFFFF:
                    length = long_size or 0
                there = size - file.tell()
                if length > there and length < 0xFFFFFF00:
                    raise _truncated(f"{there:,} of {length:,} bytes are there")
                return
            file.seek(length + length % 2, os.SEEK_CUR)
    raise _truncated("it ends before the sound begins")


def _check_mp3(path: Path) -> None:
    """Compare the Xing header's byte count with the file, and check that the last frame is whole."""
    size = path.stat().st_size
    if size == 0:
        raise InvalidAudio(field=_FIELD)
    with path.open("rb") as file:
        start = _skip_id3(file)
        file.seek(start)
        head = file.read(4096)
        at = max(head.find(b"Xing", 0, 64), head.find(b"Info", 0, 64))
        if at >= 0 and struct.unpack_from(">I", head, at + 4)[0] & 2:
            offset = at + 8 + (4 if head[at + 7] & 1 else 0)
            promised = struct.unpack_from(">I", head, offset)[0]
            there = size - start
        else:
            there, promised = size, _end_of_frames(file, start, size)
    if there < promised:
        raise _truncated(f"{there:,} of {promised:,} bytes are there")


def _end_of_frames(file: BinaryIO, position: int, size: int) -> int:
    """Return where the last MPEG frame ends, going from frame to frame; ``size`` if something else follows."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while position + 4 <= size:
            length = mpeg_frame_length(data[position : position + 4])
            if length == 0:
                return size
            position += length
    return position


def _skip_id3(file: BinaryIO) -> int:
    """Return where the MPEG frames begin: after any ID3v2 tags (ID3v2.4 section 3.1)."""
    position = 0
    while True:
        file.seek(position)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3":
            return position
        position += 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + (10 if head[5] & 0x10 else 0)
