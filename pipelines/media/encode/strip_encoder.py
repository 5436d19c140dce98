"""Encode pictures that differ from a background in a few rows: only these rows are encoded, the background once.

A picture is cut into slices at rows of macroblocks. Rows that the previous picture shows too are skip slices. Rows of
the background are I slices that were encoded once and are used again byte for byte: outside the patches, no pixel ever
changes. What remains are the rows of the patches, encoded as pictures that are only as high as they are.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from numpy.typing import NDArray

from pipelines.media.encode.bits import split_nals
from pipelines.media.encode.chunk_encoder import (
    ALONE,
    BT709,
    X264,
    AccessUnit,
    ChunkEncoder,
    parameter_sets,
    prefixed,
    set_up,
)
from pipelines.media.encode.frame_runs import FrameRun
from pipelines.media.encode.h264 import (
    IDR_SLICE,
    SLICE,
    IntraSlice,
    StreamShape,
    UnexpectedStream,
    intra_slice,
    read_intra_slice,
    read_shape,
    skip_slice,
)

#: One plane of a picture in YUV 4:2:0: shape (height, width), uint8.
Plane = NDArray[np.uint8]
#: Side of a macroblock in pixels.
BLOCK = 16
#: Rows of macroblocks in a slice of the background, outside the rows in which patches are expected.
_GROUP = 8
#: Number of encoded strips to keep: a chorus is repeated.
_KEPT = 64


class Patch(NamedTuple):
    """A part of a picture that differs from the background; ``left`` and ``top`` are even."""

    left: int
    top: int
    planes: Sequence[Plane]


class Pictures(Protocol):
    """What is drawn. Used from several threads."""

    @property
    def background(self) -> Sequence[Plane]:
        """The planes of the picture without patches."""

    @property
    def rows(self) -> range:
        """The rows of pixels in which patches are expected. Others are allowed, but make larger files."""

    def patches(self, name: str) -> Sequence[Patch] | None:
        """Return where the picture ``name`` differs from the background; ``None``: it has another one."""

    def draw(self, name: str) -> VideoFrame:
        """Return the whole picture."""


class StripEncoder:
    """Encodes chunks of frame runs. Safe to use from several threads.

    A chunk in which a picture has another background is left to ``whole``.
    """

    def __init__(self, whole: ChunkEncoder, pictures: Pictures) -> None:
        """Encode the background.

        Raises:
            UnexpectedStream: The slices of pictures of different heights cannot be combined.
        """
        self._whole, self._pictures = whole, pictures
        height, self._width = pictures.background[0].shape
        self._across = -(-self._width // BLOCK)
        self._shape = read_shape(*parameter_sets(whole.extradata))
        self._slicer = _Slicer(self._width, self._shape, whole.extradata)
        self._background = [
            _whole_blocks(plane, BLOCK >> (index > 0)) for index, plane in enumerate(pictures.background)
        ]
        self._groups = _cut(-(-height // BLOCK), pictures.rows)
        self._group_slices = [self._slicer.encode(self._background, group) for group in self._groups]
        self._kept: OrderedDict[tuple[str, range], IntraSlice] = OrderedDict()
        self._lock = threading.Lock()
        self._skipped = functools.lru_cache(maxsize=4096)(self._skip)

    def encode(self, runs: Sequence[FrameRun]) -> Iterator[AccessUnit]:
        """Yield the access units of ``runs``, one per frame.

        Raises:
            UnexpectedStream: The encoder wrote something else than one I slice.
        """
        drawn = [self._pictures.patches(run.text) for run in runs]
        known = [patches for patches in drawn if patches is not None]
        if len(known) < len(drawn):
            yield from self._whole.encode(runs, self._pictures.draw)
            return
        sheet = _Sheet(self._background)
        everything = range(len(self._groups))
        frame_num = idr_pic_id = 0
        for run, patches in zip(runs, known, strict=True):
            changed, patched = (self._groups_with(rows) for rows in sheet.show(patches))
            if run.key:
                idr_pic_id ^= 1
                frame_num = 0
                yield self._picture(run.text, sheet, set(everything), patched, 0, idr_pic_id), True
            else:
                frame_num += 1
                yield self._picture(run.text, sheet, changed, patched, frame_num, None), False
            for _ in range(run.length - 1):
                frame_num += 1
                yield self._skipped(range(len(self._groups)), frame_num % (1 << self._shape.frame_num_bits)), False

    def _groups_with(self, rows: NDArray[np.bool_]) -> set[int]:
        """Return the indices of the groups that contain one of ``rows``."""
        return {index for index, group in enumerate(self._groups) if rows[group.start : group.stop].any()}

    def _picture(
        self, name: str, sheet: _Sheet, changed: set[int], patched: set[int], frame_num: int, idr_pic_id: int | None
    ) -> bytes:
        """Return the access unit of a picture whose groups ``changed``; ``patched`` are those with a patch."""
        units = []
        for kind, groups in _stretches(len(self._groups), changed, patched):
            if kind == "same":
                units.append(self._skipped(groups, frame_num % (1 << self._shape.frame_num_bits)))
                continue
            if kind == "patch":
                strips = [(self._rows(groups).start, self._strip(name, sheet, self._rows(groups)))]
            else:
                strips = [(self._groups[index].start, self._group_slices[index]) for index in groups]
            units += [
                prefixed(intra_slice(self._shape, part, row * self._across, frame_num, idr_pic_id))
                for row, part in strips
            ]
        return b"".join(units)

    def _rows(self, groups: range) -> range:
        return range(self._groups[groups.start].start, self._groups[groups.stop - 1].stop)

    def _strip(self, name: str, sheet: _Sheet, rows: range) -> IntraSlice:
        with self._lock:
            if (name, rows) in self._kept:
                self._kept.move_to_end((name, rows))
                return self._kept[name, rows]
        strip = self._slicer.encode(sheet.planes, rows)
        with self._lock:
            self._kept[name, rows] = strip
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return strip

    def _skip(self, groups: range, frame_num: int) -> bytes:
        rows = self._rows(groups)
        if len(groups) == len(self._groups):
            return prefixed(skip_slice(self._shape, frame_num))
        return prefixed(skip_slice(self._shape, frame_num, rows.start * self._across, len(rows) * self._across))


class _Sheet:
    """The picture that is shown, in whole macroblocks."""

    def __init__(self, background: Sequence[Plane]) -> None:
        self._background = background
        self.planes = [plane.copy() for plane in background]
        self._rows = background[0].shape[0] // BLOCK
        self._patched = np.zeros(self._rows, np.bool_)

    def show(self, patches: Sequence[Patch]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Show the background with ``patches``; return which rows of macroblocks changed, and which have a patch."""
        touched = self._patched.copy()
        for patch in patches:
            touched[patch.top // BLOCK : -(-(patch.top + patch.planes[0].shape[0]) // BLOCK)] = True
        changed, patched = np.zeros_like(touched), np.zeros_like(touched)
        for rows in _runs(np.flatnonzero(touched)):
            before = [plane[_lines(rows, index)].copy() for index, plane in enumerate(self.planes)]
            for index, plane in enumerate(self.planes):
                plane[_lines(rows, index)] = self._background[index][_lines(rows, index)]
            for patch in patches:
                self._paste(patch)
            part = slice(rows.start, rows.stop)
            for index, plane in enumerate(self.planes):
                lines = _lines(rows, index)
                changed[part] |= _differ(plane[lines], before[index], len(rows))
                patched[part] |= _differ(plane[lines], self._background[index][lines], len(rows))
        self._patched = patched
        return changed, patched

    def _paste(self, patch: Patch) -> None:
        for index, (plane, pixels) in enumerate(zip(self.planes, patch.planes, strict=True)):
            left, top = patch.left >> (index > 0), patch.top >> (index > 0)
            plane[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels


class _Slicer:
    """Encodes rows of macroblocks as one I slice, which depends on their pixels only."""

    def __init__(self, width: int, shape: StreamShape, extradata: bytes) -> None:
        self._width, self._shape = width, shape
        self._pps = parameter_sets(extradata)[1]
        #: Per height in macroblocks: the encoders that are not in use, with the number of pictures that each encoded.
        self._idle: dict[int, list[tuple[VideoCodecContext, int]]] = {}
        self._lock = threading.Lock()

    def encode(self, planes: Sequence[Plane], rows: range) -> IntraSlice:
        """Return the slice of ``rows`` of ``planes``.

        Raises:
            UnexpectedStream: It cannot be used in the stream.
        """
        frame = VideoFrame(self._width, len(rows) * BLOCK, "yuv420p")
        for index, (target, plane) in enumerate(zip(frame.planes, planes, strict=True)):
            pixels = np.frombuffer(memoryview(target), np.uint8).reshape(-1, target.line_size)  # type: ignore[arg-type]
            lines = plane[_lines(rows, index)]
            pixels[: lines.shape[0], : lines.shape[1]] = lines
        frame.pict_type, frame.colorspace, frame.color_range = PictureType.I, BT709, BT709
        with self._lock:
            idle = self._idle.setdefault(len(rows), [])
            kept = idle.pop() if idle else None
        context, count = kept or (self._open(len(rows)), 0)
        frame.pts, frame.time_base = count, context.time_base
        units = [unit for packet in context.encode(frame) for unit in split_nals(bytes(packet))]
        with self._lock:
            idle.append((context, count + 1))
        slices = [unit for unit in units if unit[0] & 31 in (SLICE, IDR_SLICE)]
        if len(slices) != 1:
            raise UnexpectedStream("not one slice")
        return read_intra_slice(slices[0], self._shape)

    def _open(self, count: int) -> VideoCodecContext:
        context = av.CodecContext.create(X264, "w")
        assert isinstance(context, VideoCodecContext)
        set_up(context, self._width, count * BLOCK, 30, ALONE)
        sps, pps = parameter_sets(bytes(context.extradata or b""))
        if pps != self._pps or read_shape(sps, pps).frame_num_bits != self._shape.frame_num_bits:
            raise UnexpectedStream("encoders for different heights have different parameter sets")
        return context


def _cut(count: int, pixels: range) -> list[range]:
    """Return the rows of macroblocks of each slice of the background: single ones where patches are expected."""
    first, end = pixels.start // BLOCK, min(-(-pixels.stop // BLOCK), count)
    starts = [*range(0, first, _GROUP), *range(first, end), *range(max(first, end), count, _GROUP)]
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], count], strict=True)]


def _stretches(count: int, changed: set[int], patched: set[int]) -> Iterator[tuple[str, range]]:
    """Yield the groups of a picture in order: those that are the same, have a patch, or show the background again."""
    start, before = 0, ""
    for index in range(count + 1):
        kind = "same" if index not in changed else "patch" if index in patched else "background"
        if index == count or (kind != before and index > start):
            yield before, range(start, index)
            start = index
        before = kind


def _runs(rows: NDArray[np.intp]) -> list[range]:
    """Return ascending numbers as runs of consecutive ones."""
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return [range(int(part[0]), int(part[-1]) + 1) for part in parts if len(part)]


def _lines(rows: range, plane: int) -> slice:
    """Return the lines of pixels of ``rows`` of macroblocks in a plane, of which the first has full height."""
    side = BLOCK >> (plane > 0)
    return slice(rows.start * side, rows.stop * side)


def _differ(one: Plane, other: Plane, rows: int) -> NDArray[np.bool_]:
    """Return for each of ``rows`` rows of macroblocks whether the pixels differ."""
    found: NDArray[np.bool_] = (one != other).reshape(rows, -1).any(axis=1)
    return found


def _whole_blocks(plane: Plane, side: int) -> Plane:
    """Return ``plane`` with its last line repeated up to the end of the macroblock."""
    return np.pad(plane, ((0, -plane.shape[0] % side), (0, 0)), mode="edge")
