"""Measure the length of audio by decoding it, because headers may be wrong and files may be truncated."""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
from av.audio.frame import AudioFrame

from pipelines.media.inspect.open_media import open_media
from pipelines.media.inspect.sniff import mpeg_frame_length
from schemas.errors import InvalidAudio

#: Longest audio that is accepted, in seconds.
MAX_SECONDS = 4 * 3600
#: Share of damaged packets up to which audio is accepted: a short click is audible, but not worth an error.
_DAMAGE_TOLERATED = 0.01
_FIELD = "data.audio"


@dataclass(frozen=True, slots=True)
class Sound:
    """The result of decoding audio: ``samples`` per channel at ``rate`` hertz."""

    samples: int
    rate: int
    codec: str

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return self.samples / self.rate


def measure(path: Path, kind: str) -> Sound:
    """Decode the first audio stream of ``path`` completely and return its length.

    ``kind`` is ``mp3``, ``wav`` or ``flac``; no other format is tried.

    Raises:
        InvalidAudio: The file contains no such audio, or is truncated, damaged, empty or longer than ``MAX_SECONDS``.
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
        raise InvalidAudio(f"the audio cannot be decoded: {error.strerror or 'damaged data'}", field=_FIELD) from None
    if sound.samples == 0:
        raise InvalidAudio("the audio is empty: it contains no samples", field=_FIELD)
    if expected and sound.samples < expected:
        raise _truncated(f"{sound.samples / sound.rate:.1f} s of {expected / sound.rate:.1f} s are present")
    return sound


def _truncated(detail: str) -> InvalidAudio:
    return InvalidAudio(f"the audio is truncated: {detail}; upload the whole file", field=_FIELD)


def _decode(path: Path, kind: str) -> tuple[Sound, int]:
    """Return the sound, and the number of samples that a FLAC header states (0 if unknown)."""
    with open_media(path, kind) as container:
        if not container.streams.audio:
            raise InvalidAudio(field=_FIELD)
        stream = container.streams.audio[0]
        try:
            rate, codec = stream.rate, stream.codec_context.name
        except AttributeError:  # the codec in the header has no decoder
            raise InvalidAudio(field=_FIELD) from None
        stated = stream.duration if kind == "flac" and stream.duration else 0
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
    return Sound(samples, rate, codec), stated


def _check_wav(path: Path) -> None:
    """Check that the data chunk is complete (RIFF; RF64 as in EBU Tech 3306).

    Raises:
        InvalidAudio: The file is shorter than its header states.
    """
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
                # A length of 0 or all ones is written by recorders that stream: the data ends with the file.
                if length == 0xFFFFFFFF:
                    length = long_size or 0
                present = size - file.tell()
                if length > present and length < 0xFFFFFF00:
                    raise _truncated(f"{present:,} of {length:,} bytes are present")
                return
            file.seek(length + length % 2, os.SEEK_CUR)
    raise _truncated("it ends before the sound begins")


def _check_mp3(path: Path) -> None:
    """Check that the file has as many bytes as its Xing header states, or else that its last frame is complete.

    Raises:
        InvalidAudio: The file is truncated or empty.
    """
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
            stated = struct.unpack_from(">I", head, offset)[0]
            present = size - start
        else:
            present, stated = size, _end_of_frames(file, start, size)
    if present < stated:
        raise _truncated(f"{present:,} of {stated:,} bytes are present")


def _end_of_frames(file: BinaryIO, position: int, size: int) -> int:
    """Return the offset at which the last MPEG frame ends, found from frame to frame; ``size`` if other data follow."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while position + 4 <= size:
            length = mpeg_frame_length(data[position : position + 4])
            if length == 0:
                return size
            position += length
    return position


def _skip_id3(file: BinaryIO) -> int:
    """Return the offset of the first MPEG frame, after any ID3v2 tags (ID3v2.4 section 3.1)."""
    position = 0
    while True:
        file.seek(position)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3":
            return position
        position += 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + (10 if head[5] & 0x10 else 0)
