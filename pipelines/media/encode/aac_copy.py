"""Copy AAC that already fits into a reel, instead of decoding and encoding it again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av

from pipelines.media.encode.aac import FRAME_SAMPLES, AacFormat
from pipelines.media.inspect.open_media import open_media

#: Object type of AAC-LC, ISO/IEC 14496-3 table 1.17, and the sample rates in hertz that every player accepts.
_LC, _RATES = 2, (44_100, 48_000)
#: What may follow the two bytes of AudioSpecificConfig: the statement that there is no spectral band replication.
_NO_SBR = (b"", bytes.fromhex("56e500"))
#: Greatest length of a frame with its header, and the length of the header.
_MAX_FRAME_BYTES, _HEADER_BYTES = 8191, 7
#: Greatest error in samples of the time at which the sound begins: its start is not always the start of a frame.
_MAX_ERROR = 220


def copy_aac(source: Path, kind: str, target: Path) -> bool:
    """Write the first audio stream of ``source`` into ``target`` as ADTS, if it is AAC that fits.

    That is AAC-LC, mono or stereo, at 44.1 or 48 kHz and without gaps. Nothing is decoded. Like the encoder's, the
    first frame in ``target`` is the one before the sound begins.
    """
    if kind not in ("m4a", "mp4", "aac"):
        return False
    try:
        with open_media(source, kind) as container:
            frames = list(_adts_frames(container) if kind == "aac" else _mp4_frames(container))
    except (av.FFmpegError, ValueError, IndexError, AttributeError):
        return False
    target.write_bytes(b"".join(frames))
    return True


def _mp4_frames(container: av.container.InputContainer) -> Iterator[bytes]:
    """Yield the frames with ADTS headers.

    Raises:
        ValueError: The stream does not fit.
    """
    stream = container.streams.audio[0]
    config = bytes(stream.codec_context.extradata or b"")
    found = AacFormat(_LC, stream.rate, stream.channels)
    fits = stream.codec_context.name == "aac" and found.rate in _RATES and found.channels in (1, 2)
    if not fits or config[:2] != found.specific_config or config[2:] not in _NO_SBR:
        raise ValueError("not AAC-LC in mono or stereo")
    packets = [packet for packet in container.demux(stream) if packet.size and packet.pts is not None]
    time_base = stream.time_base
    assert time_base is not None
    times = [round(packet.pts * time_base * found.rate) for packet in packets if packet.pts is not None]
    # Frames before 0 s are the encoder's delay.
    first = max(0, round(-times[0] / FRAME_SAMPLES))
    if any(abs(time - (index - first) * FRAME_SAMPLES) > _MAX_ERROR for index, time in enumerate(times)):
        raise ValueError("the frames have gaps or begin at another time")
    chosen = packets[first - 1 :] if first else [packets[0], *packets]
    for packet in chosen:
        yield _header(found, packet.size) + bytes(packet)


def _adts_frames(container: av.container.InputContainer) -> Iterator[bytes]:
    """Yield the frames as they are, the first one twice.

    Raises:
        ValueError: The stream does not fit.
    """
    fixed = b""
    for packet in container.demux(container.streams.audio[0]):
        data = bytes(packet)
        if not data:
            continue
        # ISO/IEC 13818-7 clause 6.2.1: 28 bits are the same in every frame. One block per frame, without checksum.
        header = bytes((*data[:3], data[3] & 0xF0))
        if not fixed:
            found = AacFormat(_LC, container.streams.audio[0].rate, container.streams.audio[0].channels)
            if found.rate not in _RATES or found.channels not in (1, 2):
                raise ValueError("not AAC-LC in mono or stereo")
            fixed = _header(found, len(data) - _HEADER_BYTES)
            fixed = bytes((fixed[0], data[1] & 0xF9, fixed[2], fixed[3] & 0xF0))
            if fixed[1] not in (0xF1, 0xF9):
                raise ValueError("frames with checksums")
            yield data
        if header != fixed or data[6] & 3 or (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5 != len(data):
            raise ValueError("frames of several formats")
        yield data


def _header(found: AacFormat, size: int) -> bytes:
    """Return the ADTS header of a frame of ``size`` bytes, ISO/IEC 13818-7 clause 6.2.

    Raises:
        ValueError: The frame is too long.
    """
    length = size + _HEADER_BYTES
    if length > _MAX_FRAME_BYTES:
        raise ValueError("a frame is too long")
    index = found.rate_index
    return bytes(
        (
            0xFF,
            0xF1,
            (found.object_type - 1) << 6 | index << 2 | found.channels >> 2,
            (found.channels & 3) << 6 | length >> 11,
            length >> 3 & 0xFF,
            (length & 7) << 5 | 0x1F,
            0xFC,
        )
    )
