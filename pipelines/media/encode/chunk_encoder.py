"""Encode chunks of a video to H.264: each distinct picture once, and skip slices for the frames that repeat it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import av
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from pipelines.media.encode.bits import split_nals
from pipelines.media.encode.frame_runs import FrameRun
from pipelines.media.encode.h264 import (
    IDR_SLICE,
    PPS,
    SLICE,
    SPS,
    StreamShape,
    UnexpectedStream,
    read_shape,
    skip_slice,
    with_frame_num,
)

BT709 = 1
# Measured on still images with captions: the file size and SSIM of preset veryfast at CRF 20, in half the time.
_PRESET, _QUALITY = "ultrafast", "17"
_TOOLS = "cabac=1:8x8dct=1:deblock=0,0:aq-mode=1"
#: How the quality of a picture is chosen: for what follows it, or from its own pixels only. Without the deblocking
#: filter, which at this quality makes intra pictures no better, slices do not depend on what is around them.
_AHEAD, ALONE = "mbtree=1:rc-lookahead=5", "mbtree=0:rc-lookahead=0:qcomp=1.0:no-deblock=1"
# One slice per picture, no reordering, one unweighted reference: what skip slices require (see h264.read_shape).
_STRUCTURE = (
    "bframes=0:ref=1:weightp=0:scenecut=0:keyint=infinite:min-keyint=1:force-cfr=1:sliced-threads=0:slices=1:threads=1"
)

X264, NVENC = "libx264", "h264_nvenc"
#: The same stream structure from NVIDIA's encoder, at a constant quality similar to libx264's.
_NVENC_OPTIONS = {
    "preset": "p4",
    "rc": "constqp",
    "qp": "19",
    "bf": "0",
    "refs": "1",
    "weighted_pred": "0",
    "g": "-1",
    "no-scenecut": "1",
    "forced-idr": "1",
    "zerolatency": "1",
    "delay": "0",
    "surfaces": "2",
    "aud": "0",
}

#: One frame as an Annex B byte stream, and whether it is a key frame.
AccessUnit = tuple[bytes, bool]


def set_up(context: VideoCodecContext, width: int, height: int, fps: int, rate: str = _AHEAD) -> None:
    """Configure and open the encoder: YUV 4:2:0, BT.709, limited range, constant quality; sizes in pixels."""
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate = Fraction(1, fps), Fraction(fps, 1)
    context.colorspace = context.color_primaries = context.color_trc = context.color_range = BT709
    x264 = {"preset": _PRESET, "crf": _QUALITY, "forced-idr": "1", "x264-params": f"{_TOOLS}:{rate}:{_STRUCTURE}"}
    context.options = dict(_NVENC_OPTIONS) if context.name == NVENC else x264
    context.flags |= Flags.global_header | Flags.bitexact
    context.open()


def parameter_sets(extradata: bytes | None) -> tuple[bytes, bytes]:
    """Return the sequence and the picture parameter set of an encoder's extradata.

    Raises:
        UnexpectedStream: There is not exactly one of each.
    """
    units = split_nals(extradata or b"")
    sps = [unit for unit in units if unit[0] & 31 == SPS]
    pps = [unit for unit in units if unit[0] & 31 == PPS]
    if len(sps) != 1 or len(pps) != 1:
        raise UnexpectedStream("more than one parameter set")
    return sps[0], pps[0]


class ChunkEncoder:
    """Encodes chunks of frame runs. Safe to use from several threads: each call has an encoder context of its own."""

    def __init__(self, width: int, height: int, fps: int, *, skip: bool, codec: str = X264) -> None:
        """Open an encoder for pictures of ``width`` x ``height`` pixels.

        With ``skip``, all frames of a run but the first are skip slices. Without it, each run must be one frame long.

        Raises:
            UnexpectedStream: With ``skip``: skip slices cannot follow this encoder's pictures.
            av.FFmpegError: ``codec`` is not available on this machine.
        """
        self._codec = codec
        self._size = (width, height, fps)
        context = self._context()
        self.extradata = bytes(context.extradata or b"")
        self._shape: StreamShape | None = None
        self._skips: list[bytes] = []
        if skip:
            self._shape = read_shape(*parameter_sets(self.extradata))
            if self._shape.macroblocks != (width + 15) // 16 * ((height + 15) // 16):
                raise UnexpectedStream("the parameter sets have another picture size")
            self._skips = [
                prefixed(skip_slice(self._shape, number)) for number in range(1 << self._shape.frame_num_bits)
            ]

    def _context(self) -> VideoCodecContext:
        context = av.CodecContext.create(self._codec, "w")
        assert isinstance(context, VideoCodecContext)
        set_up(context, *self._size)
        return context

    def encode(self, runs: Sequence[FrameRun], draw: Callable[[str], VideoFrame]) -> Iterator[AccessUnit]:
        """Yield the access units of ``runs``, one per frame; ``draw`` returns the picture of a run's text.

        Raises:
            UnexpectedStream: The encoder wrote a picture that skip slices cannot follow.
        """
        context = self._context()
        if bytes(context.extradata or b"") != self.extradata:
            raise UnexpectedStream("two encoder contexts have different parameter sets")
        packets = self._packets(context, runs, draw)
        frame_num = 0
        for run, packet in zip(runs, packets, strict=True):
            units = [unit for unit in split_nals(packet) if unit[0] & 31 in (SLICE, IDR_SLICE)]
            if self._shape is None:
                yield b"".join(map(prefixed, units)), units[0][0] & 31 == IDR_SLICE
                continue
            if len(units) != 1 or (units[0][0] & 31 == IDR_SLICE) is not run.key:
                raise UnexpectedStream("a picture has several slices, or a key frame is not where it was requested")
            frame_num = 0 if run.key else frame_num + 1
            yield prefixed(units[0] if run.key else with_frame_num(units[0], self._shape, frame_num)), run.key
            for _ in range(run.length - 1):
                frame_num += 1
                yield self._skips[frame_num % len(self._skips)], False

    def _packets(
        self, context: VideoCodecContext, runs: Sequence[FrameRun], draw: Callable[[str], VideoFrame]
    ) -> Iterator[bytes]:
        for index, run in enumerate(runs):
            frame = draw(run.text)
            frame.pts, frame.time_base = index, context.time_base
            frame.pict_type = PictureType.I if run.key else PictureType.NONE
            frame.colorspace = frame.color_range = BT709
            yield from map(bytes, context.encode(frame))
        yield from map(bytes, context.encode(None))


def prefixed(unit: bytes) -> bytes:
    """Return ``unit`` after a start code (ITU-T H.264 clause B.1); the muxer replaces it by the length, as in MP4."""
    return b"\0\0\0\1" + unit
