"""Encode parts of a picture as I slices that fit anywhere in it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from numpy.typing import NDArray

from pipelines.media.encode.bits import split_nals
from pipelines.media.encode.chunk_encoder import ALONE, BT709, X264, parameter_sets, set_up
from pipelines.media.encode.h264 import (
    IDR_SLICE,
    SLICE,
    IntraSlice,
    StreamShape,
    UnexpectedStream,
    read_intra_slice,
    read_shape,
)

#: One plane of a picture in YUV 4:2:0: shape (height, width), uint8.
Plane = NDArray[np.uint8]
#: Side of a macroblock in pixels.
BLOCK = 16
#: Encoders of narrow parts are opened for multiples of this height in macroblocks.
_HEIGHTS = 4


class Slicer:
    """Encodes parts of a picture as I slices, which depend on their pixels only."""

    def __init__(self, across: int, shape: StreamShape, extradata: bytes) -> None:
        self._across, self._shape = across, shape
        self._pps = parameter_sets(extradata)[1]
        #: Per size in macroblocks: the encoders that are not in use, with the number of pictures that each encoded.
        self._idle: dict[tuple[int, int], list[tuple[VideoCodecContext, int]]] = {}
        self._lock = threading.Lock()

    def encode(self, planes: Sequence[Plane], rows: range, columns: range) -> list[IntraSlice]:
        """Return the slices of a part of ``planes``: one if it is as wide as the picture, otherwise one per row.

        Raises:
            UnexpectedStream: They cannot be used in the stream.
        """
        is_whole = len(columns) == self._across
        height = len(rows) if is_whole else -(-len(rows) // _HEIGHTS) * _HEIGHTS
        frame = VideoFrame(len(columns) * BLOCK, height * BLOCK, "yuv420p")
        for index, (target, plane) in enumerate(zip(frame.planes, planes, strict=True)):
            pixels = np.frombuffer(memoryview(target), np.uint8).reshape(-1, target.line_size)
            part = plane[pixels_of(rows, index, columns)]
            pixels[: part.shape[0], : part.shape[1]] = part
            pixels[part.shape[0] :] = 0
        frame.pict_type, frame.colorspace, frame.color_range = PictureType.I, BT709, BT709
        with self._lock:
            idle = self._idle.setdefault((len(columns), height), [])
            kept = idle.pop() if idle else None
        context, count = kept or (self._open(len(columns), height), 0)
        frame.pts, frame.time_base = count, context.time_base
        units = [unit for packet in context.encode(frame) for unit in split_nals(bytes(packet))]
        with self._lock:
            idle.append((context, count + 1))
        slices = [unit for unit in units if unit[0] & 31 in (SLICE, IDR_SLICE)]
        if len(slices) != (1 if is_whole else height):
            raise UnexpectedStream("another number of slices than requested")
        used = slices if is_whole else slices[: len(rows)]
        return [read_intra_slice(unit, self._shape, row * len(columns)) for row, unit in enumerate(used)]

    def _open(self, width: int, height: int) -> VideoCodecContext:
        context = av.CodecContext.create(X264, "w")
        assert isinstance(context, VideoCodecContext)
        slices = "" if width == self._across else f":slice-max-mbs={width}"
        set_up(context, width * BLOCK, height * BLOCK, 30, ALONE + slices)
        sps, pps = parameter_sets(bytes(context.extradata or b""))
        if pps != self._pps or read_shape(sps, pps).frame_num_bits != self._shape.frame_num_bits:
            raise UnexpectedStream("encoders for parts of a picture have different parameter sets")
        return context


def pixels_of(rows: range, plane: int, columns: range | None = None) -> tuple[slice, slice]:
    """Return where macroblocks are in a plane, of which the first has full size; default: in all columns."""
    side = BLOCK >> (plane > 0)
    lines = slice(rows.start * side, rows.stop * side)
    return lines, slice(None) if columns is None else slice(columns.start * side, columns.stop * side)
