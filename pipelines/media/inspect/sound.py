"""Measure the length of audio by decoding it, because headers may be wrong and files may be truncated."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition

from pipelines.media.inspect.channels import MAX_CHANNELS
from pipelines.media.inspect.open_media import open_media
from pipelines.media.inspect.sound_extents import extent_of
from pipelines.media.inspect.sound_headers import SoundExtent, plain_wav
from pipelines.media.sandbox.rlimits import limit_cpu_time
from schemas.errors import InvalidAudio

#: Longest audio that is accepted, in seconds.
MAX_SECONDS = 4 * 3600
#: Lowest sample rate that is accepted, in hertz. At a lower one a small file lasts for hours.
MIN_RATE = 4_000
#: Most CPU time for decoding audio in seconds; audio of ``MAX_SECONDS`` takes a few.
_MAX_CPU_SECONDS = 30
#: Share of damaged sound up to which audio is accepted: a short click is audible, but not worth an error.
_DAMAGE_TOLERATED = 0.01
#: Seconds by which audio may be shorter than its header states, or be damaged: writers count inaccurately.
_SECONDS_TOLERATED = 0.1
#: Bytes of the longest MPEG audio frame: what looks like one at the end of a tag hides the frames behind it.
_LONGEST_FRAME = 1_729
#: Samples by which AAC may be longer than its header states: its last frame is filled up.
_AAC_PADDING = 2048
#: What decoders report for damaged data; AAC also with numbers that mean nothing.
_DAMAGE = (av.error.InvalidDataError, av.error.PatchWelcomeError, av.error.UndefinedError)
_FIELD = "data.audio"


@dataclass(frozen=True, slots=True)
class Sound:
    """The result of decoding audio: ``samples`` per channel at ``rate`` hertz."""

    samples: int
    rate: int
    codec: str
    #: Whether some of it could not be decoded.
    is_damaged: bool = False

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return self.samples / self.rate


def measure(path: Path, kind: str) -> Sound:
    """Decode the first audio stream of ``path`` completely and return its length.

    ``kind`` is one of ``SOUND_KINDS``; no other format is tried.

    Raises:
        InvalidAudio: The file contains no such audio, is truncated, damaged or empty, or exceeds a limit.
    """
    slow = InvalidAudio(f"the audio takes more than {_MAX_CPU_SECONDS} s to decode; shorten it", field=_FIELD)
    try:
        with limit_cpu_time(_MAX_CPU_SECONDS, slow):
            return _measure(path, kind)
    except (struct.error, IndexError):
        raise _truncated("it ends inside its header") from None
    except av.FFmpegError as error:
        raise InvalidAudio(f"the audio cannot be decoded: {error.strerror or 'damaged data'}", field=_FIELD) from None


def estimate(path: Path, kind: str) -> Sound:
    """Return the length of the audio by its packets, which are not decoded; for a moment of padding it may be longer.

    Packets that do not state their lengths count as the others do. If most do not, the audio is measured.

    Raises:
        InvalidAudio: The file contains no such audio, or is empty.
    """
    try:
        with plain_audio(path, kind) as plain, open_media(plain, kind) as container:
            stream = container.streams.audio[0]
            time_base = stream.time_base
            lengths = [packet.duration or 0 for packet in container.demux(stream) if packet.size]
            rate, codec = stream.rate, stream.codec_context.name
    except (av.FFmpegError, AttributeError, IndexError):
        return measure(path, kind)
    known = [length for length in lengths if length > 0]
    if time_base is None or 2 * len(known) <= len(lengths):
        return measure(path, kind)
    samples = round(sum(known) * len(lengths) / len(known) * time_base * rate)
    if not 0 < samples <= MAX_SECONDS * rate:
        return measure(path, kind)
    return Sound(samples, rate, codec)


def _measure(path: Path, kind: str) -> Sound:
    extent = extent_of(path, kind)
    with plain_audio(path, kind) as plain:
        sound, expected = _decode(plain, kind, extent)
    if sound.samples == 0:
        raise InvalidAudio("the audio is empty: it contains no samples", field=_FIELD)
    seconds_per_byte = sound.seconds / max(1, extent.size - extent.start)
    missing = max(extent.missing_bytes * seconds_per_byte, expected / sound.rate - sound.seconds)
    if missing > _SECONDS_TOLERATED:
        raise _truncated(f"{sound.seconds:.1f} s of {sound.seconds + missing:.1f} s are present")
    if extent.is_cut:
        raise _truncated("it ends inside a frame")
    return sound


@contextlib.contextmanager
def plain_audio(path: Path, kind: str) -> Iterator[Path]:
    """Return ``path``, or a temporary copy with a plain header if FFmpeg would find no sound in it."""
    try:
        plain = plain_wav(path) if kind == "wav" else None
    except struct.error:
        plain = None  # the decoder reports what is wrong with the header
    if plain is None:
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        file.write(plain)
        file.flush()
        yield Path(file.name)


def _truncated(detail: str) -> InvalidAudio:
    return InvalidAudio(f"the audio is truncated: {detail}; upload the whole file", field=_FIELD)


def _decode(path: Path, kind: str, extent: SoundExtent) -> tuple[Sound, int]:
    """Return the sound, and the number of samples that a header states (0 if unknown or impossible)."""
    with open_media(path, kind) as container:
        if not container.streams.audio or (kind == "mp4" and _has_video(container)):
            raise InvalidAudio(field=_FIELD)
        stream = container.streams.audio[0]
        try:
            rate, codec, channels = stream.rate, stream.codec_context.name, stream.channels
        except AttributeError:  # the codec in the header has no decoder
            raise InvalidAudio(field=_FIELD) from None
        _check_format(rate, channels)
        stated = _stated_samples(stream) if kind in ("flac", "m4a", "mp4") else 0
        rates = set() if codec == "aac" else {rate}  # the header of AAC may state half of its rate
        samples = packets = damaged = 0
        for packet in container.demux(stream):
            packets += 1
            try:
                samples += _samples(packet, rates)
            except _DAMAGE:
                damaged += not _touches_gap(packet, extent)
            except InvalidAudio:
                if not _touches_gap(packet, extent):  # bytes of a tag may look like a frame
                    raise
            if samples > MAX_SECONDS * rate:
                raise InvalidAudio(f"the audio is longer than {MAX_SECONDS // 3600} hours; shorten it", field=_FIELD)
    rate = next(iter(rates), rate)
    if 0 <= samples - stated < _AAC_PADDING and codec == "aac" and stated:
        samples = stated
    sound = Sound(samples, rate, codec, damaged > 0)
    _check_damage(sound, damaged, packets, kind)
    return sound, stated if stated <= MAX_SECONDS * rate else 0


def _check_format(rate: int, channels: int) -> None:
    if rate < MIN_RATE:
        raise InvalidAudio(
            f"the audio has a sample rate of {rate:,} Hz, the lowest is {MIN_RATE:,} Hz; convert it", field=_FIELD
        )
    if channels > MAX_CHANNELS:
        raise InvalidAudio(
            f"the audio has {channels:,} channels, the limit is {MAX_CHANNELS}; mix it down to stereo", field=_FIELD
        )


def _has_video(container: InputContainer) -> bool:
    """Return whether there are moving pictures, and not only a cover."""
    return any(not stream.disposition & Disposition.attached_pic for stream in container.streams.video)


def _stated_samples(stream: AudioStream) -> int:
    time_base = stream.time_base
    return 0 if not stream.duration or time_base is None else round(stream.duration * time_base * stream.rate)


def _samples(packet: Packet[AudioStream], rates: set[int]) -> int:
    """Decode a packet and return its number of samples per channel. The first frame's rate is added to ``rates``."""
    samples = 0
    for frame in packet.decode():
        assert isinstance(frame, AudioFrame)
        if not rates:
            rates.add(frame.sample_rate)
        if frame.sample_rate not in rates:
            raise InvalidAudio("the audio changes its sample rate midway; re-encode it", field=_FIELD)
        samples += frame.samples
    return samples


def _touches_gap(packet: Packet[AudioStream], extent: SoundExtent) -> bool:
    """Return whether ``packet`` contains something else than sound, or directly follows it."""
    if packet.pos is None:
        return False
    index = bisect_left(extent.gaps, (packet.pos + packet.size,)) - 1
    return index >= 0 and extent.gaps[index][1] + _LONGEST_FRAME > packet.pos


def _check_damage(sound: Sound, damaged: int, packets: int, kind: str) -> None:
    """Refuse audio if ``damaged`` of its packets are more than a moment; FLAC has checksums, so any damage counts.

    Raises:
        InvalidAudio: The audio is damaged.
    """
    share = damaged / max(1, packets)
    is_moment = damaged <= 1 or share <= _DAMAGE_TOLERATED or share * sound.seconds <= _SECONDS_TOLERATED
    if damaged and (kind == "flac" or not is_moment):
        raise InvalidAudio(
            f"the audio is damaged: {damaged:,} of {packets:,} packets ({share * sound.seconds:.1f} s) "
            "cannot be decoded; export it again",
            field=_FIELD,
        )
