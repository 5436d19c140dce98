"""An MP4 file of ready-made packets: index first, no edit list, constant frame rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from pipelines.media.encode.aac import AacFormat
from pipelines.media.encode.h264 import UnexpectedStream
from pipelines.media.encode.x264 import X264, AccessUnit, set_up

_OPTIONS = {"movflags": "+faststart", "use_editlist": "0", "brand": "mp42", "fflags": "+bitexact"}


def write_mp4(
    path: Path,
    video: Iterable[AccessUnit],
    *,
    size: tuple[int, int, int],
    extradata: bytes,
    audio: Iterator[bytes] | None = None,
    audio_format: AacFormat | None = None,
    written: Callable[[int], None],
    codec: str = X264,
) -> int:
    """Write ``path`` and return the number of frames; call ``written`` with the count as it grows.

    ``size`` is width, height and frames per second; ``extradata`` is that of the encoder ``codec``. ``audio`` gives raw
    AAC frames, the first of which starts at 0; without it the film is silent. Packets are
    interleaved and streamed: memory does not grow with the length, but for the muxer's index.

    Raises:
        UnexpectedStream: the muxer's encoder has other parameter sets than ``extradata``.
    """
    fps = size[2]
    frames = 0
    with av.open(str(path), "w", format="mp4", options=_OPTIONS) as container:
        # A stream of packets needs its extradata, which only an open codec context can give it here.
        video_stream = container.add_stream(codec, rate=fps)
        assert isinstance(video_stream, VideoStream)
        set_up(video_stream.codec_context, *size)
        if bytes(video_stream.codec_context.extradata or b"") != extradata:
            raise UnexpectedStream("the muxer's parameter sets differ")
        video_stream.time_base = Fraction(1, fps)
        audio_stream = None if audio_format is None else _audio_stream(container, audio_format)
        rate, step = (1, 1) if audio_format is None else (audio_format.rate, audio_format.samples)
        heard: Iterator[bytes] = iter(()) if audio is None else audio
        sounded = 0
        for data, key in video:
            while sounded * step * fps <= frames * rate and (packet := next(heard, None)) is not None:
                assert audio_stream is not None
                container.mux(_packet(audio_stream, packet, sounded * step, step, Fraction(1, rate), key=True))
                sounded += 1
            container.mux(_packet(video_stream, data, frames, 1, Fraction(1, fps), key=key))
            frames += 1
            written(frames)
        for packet in heard:
            assert audio_stream is not None
            container.mux(_packet(audio_stream, packet, sounded * step, step, Fraction(1, rate), key=True))
            sounded += 1
    return frames


def _audio_stream(container: av.container.OutputContainer, audio: AacFormat) -> AudioStream:
    stream = container.add_stream("aac", rate=audio.rate, layout="stereo" if audio.channels == 2 else "mono")
    assert isinstance(stream, AudioStream)
    stream.codec_context.bit_rate = audio.bit_rate
    stream.codec_context.flags |= Flags.global_header | Flags.bitexact
    stream.codec_context.open()
    if bytes(stream.codec_context.extradata or b"")[:2] != audio.specific_config:
        raise ValueError("the audio encoders of the muxer and of the stream differ")
    stream.time_base = Fraction(1, audio.rate)
    return stream


def _packet(stream: Stream, data: bytes, time: int, duration: int, time_base: Fraction, *, key: bool) -> Packet[Stream]:
    packet = Packet(data)
    packet.stream = stream
    packet.pts = packet.dts = time
    packet.duration, packet.time_base, packet.is_keyframe = duration, time_base, key
    return packet
