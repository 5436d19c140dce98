"""Open audio and video to decode it."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer

if TYPE_CHECKING:  # a reel starts to encode its sound before it imports NumPy
    import numpy as np
    from numpy.typing import NDArray

#: What the decoders report when this machine has no threads or file descriptors left: no fault of the media.
_OWN_FAULTS = (errno.EAGAIN, errno.EMFILE, errno.ENFILE)
#: The only demuxer that is used for each kind, if it has another name.
_DEMUXERS = {"mp4": "mov", "m4a": "mov", "webm": "matroska", "mkv": "matroska"}


#: FFmpeg looks for other codecs in the samples of a WAV file, by default in megabytes of them.
_PROBE_BYTES = {"wav": "65536"}


def probe_options(kind: str) -> dict[str, str]:
    """Return the options with which FFmpeg finds out what a file of ``kind`` contains."""
    return {"probesize": _PROBE_BYTES[kind]} if kind in _PROBE_BYTES else {}


def demuxer_of(kind: str) -> str:
    """Return the name of FFmpeg's demuxer for files of ``kind``, as ``sniff`` returned it."""
    return _DEMUXERS.get(kind, kind)


@contextlib.contextmanager
def open_media(path: Path, kind: str, *, formats: str | None = None) -> Iterator[InputContainer]:
    """Open ``path`` with the demuxer of ``kind`` only, and allow no format outside ``formats`` (default: that one).

    The bytes of a tag that are not UTF-8 are dropped: many files have tags in Latin-1, and no tag is used.

    Raises:
        MemoryError, OSError: This machine ran out of memory or of another resource.
        av.FFmpegError: The media cannot be decoded.
    """
    demuxer = demuxer_of(kind)
    options = {"format_whitelist": formats or demuxer, "protocol_whitelist": "file", **probe_options(kind)}
    try:
        with av.open(str(path), format=demuxer, options=options, metadata_errors="ignore") as container:
            yield container
    except av.error.MemoryError as error:
        raise MemoryError(str(error)) from None
    except av.FFmpegError as error:
        if error.errno in _OWN_FAULTS:
            raise OSError(error.errno, error.strerror) from None
        raise


def stated_seconds(path: Path, kind: str) -> float:
    """Return the length that the header of ``path`` states or suggests, which may be wrong; 0 if it is unknown."""
    try:
        with open_media(path, kind) as container:
            return (container.duration or 0) / av.time_base
    except av.FFmpegError:
        return 0.0


def mono_samples(path: Path, kind: str, rate: int) -> Iterator[NDArray[np.float32]]:
    """Decode the first audio stream and yield it in parts, as one channel at ``rate`` hertz (see ``samples_of``)."""
    return (part[0] for part in samples_of(path, kind, rate, "mono"))


def samples_of(path: Path, kind: str, rate: int, layout: Literal["mono", "stereo"]) -> Iterator[NDArray[np.float32]]:
    """Decode the first audio stream and yield it in parts at ``rate`` hertz, a row for each channel.

    Damaged packets are left out, as they are in a reel.

    Raises:
        MemoryError, OSError: This machine ran out of memory or of another resource.
        av.FFmpegError: The audio cannot be decoded.
    """
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    with open_media(path, kind) as container:
        for packet in container.demux(container.streams.audio[0]):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            for frame in frames:
                assert isinstance(frame, AudioFrame)
                yield from (part.to_ndarray().astype("float32", copy=False) for part in resampler.resample(frame))
        yield from (part.to_ndarray().astype("float32", copy=False) for part in resampler.resample(None))
