"""Encode a reel's sound to AAC in separate ffmpeg processes, and read the result back frame by frame."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.media.encode.aac_join import HEADER_BYTES, OVERLAP, frame_bytes, join
from pipelines.media.encode.ffmpeg import Ffmpeg
from pipelines.media.encode.sound_edit import UNCHANGED, SoundEdit, loudness_filters, measure_loudness
from pipelines.media.inspect.channels import stereo_filter
from pipelines.media.inspect.open_media import demuxer_of, probe_options, stated_seconds
from pipelines.media.inspect.sound_headers import plain_wav

#: Bits per second.
BIT_RATE = 160_000
#: Samples per channel in an AAC frame, ISO/IEC 14496-3.
FRAME_SAMPLES = 1024
#: The encoder's delay in frames: the first frame contains silence from before the sound begins.
_PRIMING_FRAMES = 1
#: Shortest sound in seconds whose halves are encoded at the same time, and frames per second of its middle: the halves
#: need not be equally long. The length decides and not this machine, so that equal inputs give equal bytes.
_HALVES_FROM, _FRAMES_PER_SECOND = 30.0, 44_100 / FRAME_SAMPLES
_INPUT_OPTIONS = ("-nostdin", "-hide_banner", "-v", "error", "-y", "-protocol_whitelist", "file,pipe")
_STEREO = "aformat=sample_rates=44100|48000:channel_layouts=stereo"
_METER = "ebur128=peak=true:framelog=quiet"
_NO_OUTPUT = ("-f", "null", "-")
#: The first audio stream as stereo AAC at 44.1 or 48 kHz, without metadata: equal inputs give equal bytes.
_OUTPUT_OPTIONS = tuple(
    (
        "-map 0:a:0 -dn -sn -vn -map_metadata -1 -map_chapters -1"
        f" -c:a aac -aac_coder fast -b:a {BIT_RATE} -flags:a +bitexact -threads 1 -f adts"
    ).split()
)
#: Sample rates in hertz by sampling frequency index, ISO/IEC 14496-3 table 1.18.
_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


@dataclass(frozen=True, slots=True)
class AacFormat:
    """The format of an ADTS stream, which every frame header repeats; ``rate`` in hertz, ``samples`` per frame."""

    object_type: int
    rate: int
    channels: int
    bit_rate: int = BIT_RATE
    samples: int = FRAME_SAMPLES

    @property
    def rate_index(self) -> int:
        """The sampling frequency index."""
        return _RATES.index(self.rate)

    @property
    def specific_config(self) -> bytes:
        """The two bytes of AudioSpecificConfig, ISO/IEC 14496-3 clause 1.6.2.1."""
        return (self.object_type << 11 | self.rate_index << 7 | self.channels << 3).to_bytes(2, "big")


class AacEncoder:
    """The processes that encode one sound into ``target``: one, or two for a half each."""

    def __init__(self, commands: list[list[str]], target: Path, begin: int) -> None:
        """Start a process for each of ``commands``; the second half begins with frame ``begin`` of the sound."""
        self._target, self._begin = target, begin
        self._parts = [target, target.with_suffix(".half.aac")][: len(commands)]
        self._processes: list[Ffmpeg] = []
        try:
            for command, part in zip(commands, self._parts, strict=True):
                self._processes.append(Ffmpeg([*command, f"file:{part}"]))
        except BaseException:
            self.kill()
            raise

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for the end, at most ``seconds``; return the exit status (0: ``target`` is complete), or ``None``."""
        deadline = None if seconds is None else time.monotonic() + seconds
        for process in self._processes:
            status = process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if status != 0:
                return status
        if len(self._parts) == 2 and self._parts[1].exists():  # it is deleted when it was joined
            join(self._target, self._parts[1], self._begin)
        return 0

    def check(self, problem: str) -> None:
        """Check that all have ended with a result; see ``Ffmpeg.check``."""
        for process in self._processes:
            if process.wait(0) is not None:
                process.check(problem)

    def share(self, seconds: float) -> float:
        """Estimate from the size of what is written which share of a sound of ``seconds`` is encoded: 0 to 1."""
        size = sum(part.stat().st_size for part in self._parts if part.exists())
        return min(1.0, size * 8 / (BIT_RATE * max(seconds, 1.0)))

    def kill(self) -> None:
        """End the processes that still run."""
        for process in self._processes:
            process.kill()


def start_aac(
    ffmpeg: str, source: Path, kind: str, target: Path, edit: SoundEdit = UNCHANGED, seconds: float = 0.0
) -> AacEncoder:
    """Start ffmpeg, which encodes the first audio stream of ``source`` into ``target`` as ADTS.

    ffmpeg may use no demuxer but that of ``kind``, so that a playlist with a wrong extension is not followed. Telecine
    chooses both paths. For ``edit``, the sound must have been measured: ``seconds`` is the length of the excerpt. A
    change of the loudness is measured before this function returns.
    """
    source = _readable(source, kind, target)
    demuxer = demuxer_of(kind)
    probe = [part for name, value in probe_options(kind).items() for part in (f"-{name}", value)]
    command = [ffmpeg, *_INPUT_OPTIONS, *probe, "-format_whitelist", demuxer, "-f", demuxer, "-i", f"file:{source}"]
    filters = [stereo_filter(source, kind), *edit.cut_filters(seconds)]
    if edit.loudness is not None:

        def measure(more: list[str]) -> tuple[float, float]:
            chain = ",".join((*filters, *more, _METER))
            return measure_loudness([*command, "-v", "info", "-nostats", "-map", "0:a:0", "-af", chain, *_NO_OUTPUT])

        filters += loudness_filters(edit.loudness, measure)
    middle = 0 if edit.loudness is not None else _middle(seconds or stated_seconds(source, kind))
    # The filters of both processes see the whole sound, so that the halves have the same samples where they overlap.
    first = f"atrim=end_sample={(middle + OVERLAP + 2) * FRAME_SAMPLES}"
    second = f"atrim=start_sample={middle * FRAME_SAMPLES}"
    cuts = [[first], [second]] if middle else [[]]
    commands = [[*command, "-af", ",".join((*filters, _STEREO, *cut)), *_OUTPUT_OPTIONS] for cut in cuts]
    return AacEncoder(commands, target, middle)


def _middle(seconds: float) -> int:
    """Return the frame with which the second half of a sound begins; 0: it is encoded in one process."""
    return round(seconds / 2 * _FRAMES_PER_SECOND) if seconds >= _HALVES_FROM else 0


def _readable(source: Path, kind: str, target: Path) -> Path:
    """Return ``source``, or a copy with a plain header if FFmpeg would find no sound in it."""
    try:
        plain = plain_wav(source) if kind == "wav" else None
    except struct.error:
        return source  # measuring the sound reports the error
    if plain is None:
        return source
    copy = target.with_suffix(".wav")
    copy.write_bytes(plain)
    return copy


def read_format(path: Path) -> AacFormat:
    """Return the format of the ADTS stream at ``path``.

    Raises:
        ValueError: The file is not an ADTS stream.
    """
    with path.open("rb") as stream:
        header = stream.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        raise ValueError("not an ADTS stream")
    return AacFormat((header[2] >> 6) + 1, _RATES[header[2] >> 2 & 15], (header[2] & 1) << 2 | header[3] >> 6)


def read_frames(path: Path, limit: int) -> Iterator[bytes]:
    """Yield at most ``limit`` raw AAC frames of the ADTS stream at ``path``, without the priming frame."""
    with path.open("rb") as stream:
        index = 0
        while index < limit + _PRIMING_FRAMES:
            header = stream.read(HEADER_BYTES)
            if len(header) < HEADER_BYTES:
                return
            # ISO/IEC 13818-7 clause 6.2: protection_absent 0 adds a 2-byte CRC.
            frame = stream.read(frame_bytes(header) - HEADER_BYTES)[0 if header[1] & 1 else 2 :]
            if index >= _PRIMING_FRAMES:
                yield frame
            index += 1


def frames_for(samples: int, video_seconds: float, rate: int) -> int:
    """Return how many AAC frames to keep so that sound and picture end together.

    That is all of the sound, unless the last AAC frame (up to 23 ms, mostly padding) would end more than one video
    frame (1/30 s) after the picture.

    Args:
        samples: The sound's samples per channel.
        video_seconds: The length of the video in seconds.
        rate: Samples per second.
    """
    count = -(-samples // FRAME_SAMPLES)
    if count > 1 and count * FRAME_SAMPLES / rate - video_seconds > 1 / 30:
        count -= 1
    return count
