"""Write an MP4 file from encoded frames: index first, no edit list, constant frame rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from pipelines.media.encode.aac import AacFormat
from pipelines.media.encode.chunk_encoder import X264, AccessUnit, set_up
from pipelines.media.encode.h264 import UnexpectedStream

_OPTIONS = {"movflags": "+faststart", "use_editlist": "0", "brand": "mp42", "fflags": "+bitexact"}


def write_mp4(
    path: Path,
    video: Iterable[AccessUnit],
    *,
    size: tuple[int, int, int],
    extradata: bytes,
    audio: tuple[AacFormat, Iterator[bytes]] | None = None,
    on_frame: Callable[[int], None],
    codec: str = X264,
) -> int:
    """Write ``path`` and return the number of video frames.

    Packets are interleaved and written as they arrive: only the muxer's index grows with the length of the video.

    Args:
        path: The file to write.
        video: One H.264 access unit per frame.
        size: Width and height in pixels, and frames per second.
        extradata: The parameter sets of the encoder that made ``video``.
        audio: Raw AAC frames with their format; the first starts at 0 s. ``None``: the video is silent.
        on_frame: Called with the number of video frames written so far.
        codec: The name of the encoder that made ``video``.

    Raises:
        UnexpectedStream: The muxer's encoder has other parameter sets than ``extradata``.
    """
    fps = size[2]
    frames_written = 0
    with av.open(str(path), "w", format="mp4", options=_OPTIONS) as container:
        video_stream = _video_stream(container, codec, size, extradata)
        track = None if audio is None else AudioTrack(container, *audio, fps)
        for data, key in video:
            if track is not None:
                track.write_until(frames_written)
            container.mux(_packet(video_stream, data, frames_written, 1, Fraction(1, fps), key=key))
            frames_written += 1
            on_frame(frames_written)
        if track is not None:
            track.write_until(None)
    return frames_written


class AudioTrack:
    """The audio stream of an MP4 file and the frames that are not yet written to it."""

    def __init__(self, container: OutputContainer, audio_format: AacFormat, frames: Iterator[bytes], fps: int) -> None:
        self._container, self._format, self._frames, self._fps = container, audio_format, frames, fps
        self._stream = _audio_stream(container, audio_format)
        self._frames_written = 0

    def write_until(self, video_frame: int | None) -> None:
        """Write the frames that start at or before ``video_frame``; ``None``: all that are left."""
        rate, samples = self._format.rate, self._format.samples
        while video_frame is None or self._frames_written * samples * self._fps <= video_frame * rate:
            data = next(self._frames, None)
            if data is None:
                return
            time = self._frames_written * samples
            self._container.mux(_packet(self._stream, data, time, samples, Fraction(1, rate), key=True))
            self._frames_written += 1


def _video_stream(container: OutputContainer, codec: str, size: tuple[int, int, int], extradata: bytes) -> VideoStream:
    # The stream needs extradata, and in PyAV only an open codec context can provide it.
    stream = container.add_stream(codec, rate=size[2])
    assert isinstance(stream, VideoStream)
    set_up(stream.codec_context, *size)
    if bytes(stream.codec_context.extradata or b"") != extradata:
        raise UnexpectedStream("the muxer's parameter sets differ from the encoder's")
    stream.time_base = Fraction(1, size[2])
    return stream


def _audio_stream(container: OutputContainer, audio: AacFormat) -> AudioStream:
    stream = container.add_stream("aac", rate=audio.rate, layout="stereo" if audio.channels == 2 else "mono")
    assert isinstance(stream, AudioStream)
    stream.codec_context.bit_rate = audio.bit_rate
    stream.codec_context.flags |= Flags.global_header | Flags.bitexact
    stream.codec_context.open()
    if bytes(stream.codec_context.extradata or b"")[:2] != audio.specific_config:
        raise ValueError("the muxer's audio encoder has another format than the audio")
    stream.time_base = Fraction(1, audio.rate)
    return stream


def _packet(stream: Stream, data: bytes, time: int, duration: int, time_base: Fraction, *, key: bool) -> Packet[Stream]:
    """Return a packet; ``time`` and ``duration`` are in units of ``time_base`` seconds."""
    packet = Packet(data)
    packet.stream = stream
    packet.pts = packet.dts = time
    packet.duration, packet.time_base, packet.is_keyframe = duration, time_base, key
    return packet
