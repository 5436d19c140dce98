"""Encode pictures that differ from a background in a few rows: only what changes is encoded, the background once.

A picture is cut into slices. What the previous picture shows too is in skip slices. Rows of the background are I slices
that were encoded once and are used again byte for byte, so that no pixel of other rows than those of patches ever
changes. What remains is encoded as pictures of its size: rows from edge to edge in a key frame, else the macroblocks
from the first to the last that changed.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from pipelines.media.encode.chunk_encoder import AccessUnit, ChunkEncoder, parameter_sets, prefixed
from pipelines.media.encode.frame_runs import FrameRun
from pipelines.media.encode.h264 import IntraSlice, intra_slice, read_shape, skip_slice
from pipelines.media.encode.slicer import BLOCK, Plane, Slicer, pixels_of

#: One value for each macroblock: shape (rows, columns).
Blocks = NDArray[np.bool_]
#: Rows of macroblocks in a slice of the background, outside the rows in which patches are expected.
_GROUP = 8
#: Pictures that show where patches are to be expected, and rows of macroblocks around these.
_SAMPLES, _MARGIN = 8, 2
#: Encoders are opened for at most about this number of widths.
_WIDTHS = 17
#: The share of the picture's width from which a strip is encoded from edge to edge.
_WIDE = 0.85
#: A strip is cut into two if that leaves out so many macroblocks.
_WORTH_A_CUT = 24
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

    def patches(self, name: str) -> Sequence[Patch] | None:
        """Return where the picture ``name`` differs from the background; ``None``: it has another one."""

    def draw(self, name: str) -> VideoFrame:
        """Return the whole picture."""


class StripEncoder:
    """Encodes chunks of frame runs. Safe to use from several threads.

    A chunk in which a picture has another background is left to ``whole``.
    """

    def __init__(self, whole: ChunkEncoder, pictures: Pictures, names: Sequence[str]) -> None:
        """Encode the background. ``names`` are those of the pictures, which show where patches are to be expected.

        Raises:
            UnexpectedStream: The slices of pictures of different heights cannot be combined.
        """
        self._whole, self._pictures = whole, pictures
        self._shape = read_shape(*parameter_sets(whole.extradata))
        self._frame_nums = 1 << self._shape.frame_num_bits
        self._background = [_whole_blocks(plane, BLOCK >> (i > 0)) for i, plane in enumerate(pictures.background)]
        rows, self._across = (length // BLOCK for length in self._background[0].shape)
        self._step = max(1, self._across // _WIDTHS)
        self._slicer = Slicer(self._across, self._shape, whole.extradata)
        self._groups = _cut(rows, self._expected(names))
        everywhere = range(self._across)
        self._group_slices = [self._slicer.encode(self._background, rows, everywhere)[0] for rows in self._groups]
        self._kept: OrderedDict[tuple[str, range, range], list[IntraSlice]] = OrderedDict()
        self._lock = threading.Lock()
        self._skipped = functools.lru_cache(maxsize=4096)(self._skip)

    def _expected(self, names: Sequence[str]) -> range:
        """Return the rows of macroblocks in which patches are expected. In others they make larger files."""
        few = names[:: -(-len(names) // _SAMPLES) or 1]
        areas = [_touched(patch) for name in few for patch in self._pictures.patches(name) or ()]
        first = min((rows.start for rows in areas), default=0)
        return range(max(0, first - _MARGIN), max((rows.stop for rows in areas), default=0) + _MARGIN)

    def encode(self, runs: Sequence[FrameRun]) -> Iterator[AccessUnit]:
        """Yield the access units of ``runs``, one per frame.

        Raises:
            UnexpectedStream: The encoder wrote something else than I slices.
        """
        drawn = [self._pictures.patches(run.text) for run in runs]
        known = [patches for patches in drawn if patches is not None]
        if len(known) < len(drawn):
            yield from self._whole.encode(runs, self._pictures.draw)
            return
        sheet = _Sheet(self._background)
        frame_num = idr_pic_id = 0
        for run, patches in zip(runs, known, strict=True):
            sheet.show(patches)
            if run.key:
                idr_pic_id ^= 1
                frame_num = 0
                sheet.changed[:] = True
            else:
                frame_num += 1
            yield self._picture(run.text, sheet, frame_num, idr_pic_id if run.key else None), run.key
            for _ in range(run.length - 1):
                frame_num += 1
                yield self._skipped(0, self._shape.macroblocks, frame_num % self._frame_nums), False

    def _picture(self, name: str, sheet: _Sheet, frame_num: int, idr_pic_id: int | None) -> bytes:
        """Return the access unit of the picture that ``sheet`` shows. What it leaves out is skipped."""
        units, end = [], 0
        for first, count, part in self._parts(name, sheet):
            if first > end:
                units.append(self._skipped(end, first - end, frame_num % self._frame_nums))
            units.append(prefixed(intra_slice(self._shape, part, first, frame_num, idr_pic_id)))
            end = first + count
        if end < self._shape.macroblocks:
            units.append(self._skipped(end, self._shape.macroblocks - end, frame_num % self._frame_nums))
        return b"".join(units)

    def _parts(self, name: str, sheet: _Sheet) -> Iterator[tuple[int, int, IntraSlice]]:
        """Yield the changed parts of the picture: first macroblock, number of macroblocks, and slice."""
        changed, patched = (self._groups_with(blocks) for blocks in (sheet.changed, sheet.patched))
        for is_patch, groups in _stretches(changed, patched):
            if is_patch:
                stretch = range(self._groups[groups.start].start, self._groups[groups.stop - 1].stop)
                for rows in _split(sheet.changed, stretch):
                    columns = self._columns(sheet.changed[rows.start : rows.stop])
                    # Each row is a slice of its own, unless it is encoded from edge to edge.
                    height = len(rows) if len(columns) == self._across else 1
                    slices = self._strip(name, sheet, rows, columns)
                    for row, part in zip(range(rows.start, rows.stop, height), slices, strict=True):
                        yield row * self._across + columns.start, height * len(columns), part
            else:
                for index in groups:
                    group = self._groups[index]
                    yield group.start * self._across, len(group) * self._across, self._group_slices[index]

    def _groups_with(self, blocks: Blocks) -> set[int]:
        """Return the indices of the groups that contain one of ``blocks``."""
        rows = _rows(blocks)
        return {index for index, group in enumerate(self._groups) if not rows.isdisjoint(group)}

    def _columns(self, blocks: Blocks) -> range:
        """Return the columns to encode: those with one of ``blocks``, at steps that limit the number of encoders."""
        found = np.flatnonzero(blocks.any(axis=0))
        first = int(found[0]) // self._step * self._step
        end = min(-(-(int(found[-1]) + 1) // self._step) * self._step, self._across)
        return range(first, end) if end - first < self._across * _WIDE else range(self._across)

    def _strip(self, name: str, sheet: _Sheet, rows: range, columns: range) -> list[IntraSlice]:
        key = (name, rows, columns)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        strip = self._slicer.encode(sheet.planes, rows, columns)
        with self._lock:
            self._kept[key] = strip
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return strip

    def _skip(self, first: int, count: int, frame_num: int) -> bytes:
        return prefixed(skip_slice(self._shape, frame_num, first, 0 if count == self._shape.macroblocks else count))


class _Sheet:
    """The picture that is shown, in whole macroblocks."""

    def __init__(self, background: Sequence[Plane]) -> None:
        self._background = background
        self.planes = [plane.copy() for plane in background]
        rows, across = (length // BLOCK for length in background[0].shape)
        #: The macroblocks that the picture before shows otherwise, and those that the background does.
        self.changed: Blocks = np.zeros((rows, across), np.bool_)
        self.patched: Blocks = np.zeros((rows, across), np.bool_)

    def show(self, patches: Sequence[Patch]) -> None:
        """Show the background with ``patches``."""
        touched = _rows(self.patched)
        for patch in patches:
            touched.update(_touched(patch))
        before = [
            (rows, [plane[pixels_of(rows, index)].copy() for index, plane in enumerate(self.planes)])
            for rows in _runs(sorted(touched))
        ]
        for rows, _ in before:
            for index, plane in enumerate(self.planes):
                plane[pixels_of(rows, index)] = self._background[index][pixels_of(rows, index)]
        for patch in patches:
            for index, (plane, pixels) in enumerate(zip(self.planes, patch.planes, strict=True)):
                left, top = patch.left >> (index > 0), patch.top >> (index > 0)
                plane[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        self.changed[:], self.patched[:] = False, False
        for rows, planes in before:
            part = slice(rows.start, rows.stop)
            for index, plane in enumerate(self.planes):
                shown = plane[pixels_of(rows, index)]
                self.changed[part] |= _differ(shown, planes[index], index)
                self.patched[part] |= _differ(shown, self._background[index][pixels_of(rows, index)], index)


def _touched(patch: Patch) -> range:
    """Return the rows of macroblocks in which ``patch`` is."""
    return range(patch.top // BLOCK, -(-(patch.top + patch.planes[0].shape[0]) // BLOCK))


def _cut(count: int, expected: range) -> list[range]:
    """Return the rows of macroblocks of each slice of the background: single ones where patches are expected."""
    first, end = min(expected.start, count), min(expected.stop, count)
    starts = [*range(0, first, _GROUP), *range(first, end), *range(max(first, end), count, _GROUP)]
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], count], strict=True)]


def _stretches(changed: set[int], patched: set[int]) -> Iterator[tuple[bool, range]]:
    """Yield the groups that changed, in order: whether they have a patch, and which they are."""
    for is_patch, numbers in itertools.groupby(sorted(changed), key=patched.__contains__):
        for groups in _runs(list(numbers)):
            yield is_patch, groups


def _split(changed: Blocks, rows: range) -> Iterator[range]:
    """Cut rows where that leaves enough macroblocks out that did not change: lines of text are not equally long."""
    across = changed.shape[1]
    part = changed[rows.start : rows.stop]
    is_changed = part.any(axis=1)
    if not is_changed.any():
        return
    first = np.where(is_changed, part.argmax(axis=1), across)
    end = np.where(is_changed, across - part[:, ::-1].argmax(axis=1), 0)
    count = np.arange(1, len(rows) + 1)
    above = (np.maximum.accumulate(end) - np.minimum.accumulate(first)).clip(0) * count
    below = ((np.maximum.accumulate(end[::-1]) - np.minimum.accumulate(first[::-1])).clip(0) * count)[::-1]
    if len(rows) > 1:
        cut = int((above[:-1] + below[1:]).argmin()) + 1
        if above[-1] - above[cut - 1] - below[cut] >= _WORTH_A_CUT:
            yield from _split(changed, range(rows.start, rows.start + cut))
            yield from _split(changed, range(rows.start + cut, rows.stop))
            return
    yield rows


def _runs(numbers: Sequence[int]) -> Iterator[range]:
    """Yield ascending numbers as runs of consecutive ones."""
    for _, run in itertools.groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        part = [number for _, number in run]
        yield range(part[0], part[-1] + 1)


def _rows(blocks: Blocks) -> set[int]:
    """Return the rows that contain one of ``blocks``."""
    return set(np.flatnonzero(blocks.any(axis=1)).tolist())


def _differ(one: Plane, other: Plane, plane: int) -> Blocks:
    """Return which macroblocks differ in a plane: eight pixels are compared at a time."""
    side = BLOCK >> (plane > 0)
    rows, across = (length // side for length in one.shape)
    found: Blocks = (
        (one.view(np.uint64) != other.view(np.uint64)).reshape(rows, side, across, -1).any(axis=1).any(axis=2)
    )
    return found


def _whole_blocks(plane: Plane, side: int) -> Plane:
    """Return ``plane`` with its last line and column repeated up to the end of the macroblock."""
    return np.pad(plane, [(0, -length % side) for length in plane.shape], mode="edge")
