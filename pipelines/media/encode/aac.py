"""The reel's sound: encoded to AAC by an ffmpeg process of its own, read back frame by frame."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.media.sandbox.rlimits import die_with_parent

BIT_RATE = 160_000
#: Samples per AAC frame, ISO/IEC 14496-3.
FRAME_SAMPLES = 1024
#: The encoder's delay in frames: the first one holds silence from before the sound begins.
_PRIMING_FRAMES = 1
_HEADER_BYTES = 7
_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


@dataclass(frozen=True, slots=True)
class AacFormat:
    """The format that every frame header of an ADTS stream repeats."""

    object_type: int
    rate: int
    channels: int
    bit_rate: int = BIT_RATE
    samples: int = FRAME_SAMPLES

    @property
    def specific_config(self) -> bytes:
        """Return the AudioSpecificConfig, ISO/IEC 14496-3 clause 1.6.2.1."""
        return (self.object_type << 11 | _RATES.index(self.rate) << 7 | self.channels << 3).to_bytes(2, "big")


def start_aac(ffmpeg: str, source: Path, kind: str, target: Path) -> subprocess.Popen[bytes]:
    """Start to encode the first audio stream of ``source`` as ADTS into ``target``.

    The demuxer is forced to ``kind`` (``mp3``, ``wav`` or ``flac``) and may open nothing else: a
    playlist in disguise is not followed. Telecine chose both paths. The process dies with this one.
    """
    command = [
        ffmpeg,
        "-nostdin",
        "-hide_banner",
        "-v",
        "error",
        "-y",
        "-protocol_whitelist",
        "file,pipe",
        "-format_whitelist",
        kind,
        "-f",
        kind,
        "-i",
        f"file:{source}",
        "-map",
        "0:a:0",
        "-dn",
        "-sn",
        "-vn",
        "-map_metadata",
        "-1",
        "-map_chapters",
        "-1",
        "-af",
        "aformat=sample_rates=44100|48000:channel_layouts=stereo",
        "-c:a",
        "aac",
        "-aac_coder",
        "fast",
        "-b:a",
        str(BIT_RATE),
        "-flags:a",
        "+bitexact",
        "-threads",
        "1",
        "-f",
        "adts",
        f"file:{target}",
    ]
    with open(os.devnull, "wb") as nowhere:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=nowhere, stderr=nowhere, preexec_fn=die_with_parent(os.getpid())
        )


def read_format(path: Path) -> AacFormat:
    """Return the format of the ADTS stream at ``path``.

    Raises:
        ValueError: it is not an ADTS stream.
    """
    with path.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        raise ValueError("not an ADTS stream")
    return AacFormat((header[2] >> 6) + 1, _RATES[header[2] >> 2 & 15], (header[2] & 1) << 2 | header[3] >> 6)


def read_frames(path: Path, limit: int) -> Iterator[bytes]:
    """Yield at most ``limit`` raw AAC frames of the ADTS stream at ``path``, without the encoder's delay."""
    with path.open("rb") as stream:
        index = 0
        while index < limit + _PRIMING_FRAMES:
            header = stream.read(_HEADER_BYTES)
            if len(header) < _HEADER_BYTES:
                return
            # ISO/IEC 13818-7 clause 6.2: aac_frame_length counts the header; a clear bit 0 adds a checksum of 2 bytes.
            length = ((header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5) - _HEADER_BYTES
            frame = stream.read(length)[0 if header[1] & 1 else 2 :]
            if index >= _PRIMING_FRAMES:
                yield frame
            index += 1


def frames_for(samples: int, video_seconds: float, rate: int) -> int:
    """Return how many AAC frames to keep for ``samples`` at ``rate``, so that sound and picture end together.

    All of the sound, unless the last frame (up to 23 ms, mostly padding) would end more than one
    video frame of 1/30 s after the picture does.
    """
    count = -(-samples // FRAME_SAMPLES)
    if count > 1 and count * FRAME_SAMPLES / rate - video_seconds > 1 / 30:
        count -= 1
    return count
