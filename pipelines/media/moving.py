"""Encode pictures as a silent MP4. Each is drawn when the encoder needs it: memory does not grow with the length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from pipelines.media.captions.placement import Caption
from pipelines.media.encode.frame_runs import GOP_SECONDS, FrameRun, chunks, plan_frame_runs, single_frames
from pipelines.media.encode.h264 import UnexpectedStream
from pipelines.media.encode.mp4 import write_mp4
from pipelines.media.encode.x264 import AccessUnit, ChunkEncoder
from providers.local.opencv import opencv
from schemas.errors import RenderFailed

Pixels = NDArray[Any]
#: Draws the picture of a name, in RGB.
Draw = Callable[[str], Pixels]


def write_film(
    path: Path, shots: Sequence[tuple[str, int]], draw: Draw, *, fps: int, progress: Callable[[float], None]
) -> int:
    """Write the film of ``shots``, each a picture's name and its number of frames; return the total number of frames.

    A picture that is held is encoded once.
    """
    captions, first = [], 0
    for name, length in shots:
        captions.append(Caption(name, first, first + length))
        first += length
    height, width = draw(shots[0][0]).shape[:2]
    for skip in (True, False):
        try:
            written = _write(
                path, plan_frame_runs(captions, first, GOP_SECONDS * fps), draw, (width, height, fps), skip, progress
            )
        except UnexpectedStream:
            continue
        if written == first:
            return written
        raise RenderFailed(f"{written:,} frames were written where {first:,} were planned")
    raise RenderFailed("the encoder of this machine writes a stream that cannot be used")


def crossfade(before: Pixels, after: Pixels, step: int, steps: int) -> Pixels:
    """Return frame ``step`` of ``steps`` between two pictures, counted from 1, rounded to the nearest."""
    part = step / (steps + 1)
    mixed: Pixels = opencv().addWeighted(before, 1 - part, after, part, 0)
    return mixed


def _write(
    path: Path,
    holds: list[FrameRun],
    draw: Draw,
    size: tuple[int, int, int],
    skip: bool,
    progress: Callable[[float], None],
) -> int:
    frames = sum(hold.length for hold in holds)
    encoder = ChunkEncoder(*size, skip=skip)
    held = holds if skip else single_frames(holds)

    def units() -> Iterator[AccessUnit]:
        for chunk in chunks(held):
            yield from encoder.encode(chunk, lambda name: _frame(draw(name)))

    return write_mp4(
        path,
        units(),
        size=size,
        extradata=encoder.extradata,
        written=lambda done: progress(done / frames),
    )


def _frame(pixels: Pixels) -> VideoFrame:
    """Return the picture in the encoder's colours: planar YUV 4:2:0, BT.709, limited range."""
    return VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(
        format="yuv420p",
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )
