"""Encode pictures as a silent MP4 file. A picture is drawn when the encoder needs it: memory use does not grow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from pipelines.media.captions.placement import Caption
from pipelines.media.encode.chunk_encoder import BT709, X264, AccessUnit, ChunkEncoder
from pipelines.media.encode.frame_runs import GOP_SECONDS, FrameRun, chunks, expand, plan_frame_runs
from pipelines.media.encode.h264 import UnexpectedStream
from pipelines.media.encode.mp4 import write_mp4
from providers.local.opencv import opencv
from schemas.errors import RenderFailed

#: What makes moving pictures small: compared with that, the model's own time is long. The number of threads is fixed,
#: so that every machine writes the same bytes.
_MOVING_X264 = {"preset": "medium", "crf": "20", "threads": "2"}
#: Index first, and the first frame at 0 s without an edit list.
_MOVING_MP4 = {
    "movflags": "+faststart+negative_cts_offsets",
    "use_editlist": "0",
    "brand": "mp42",
    "fflags": "+bitexact",
}
#: An RGB picture: shape (height, width, 3), uint8.
Pixels = NDArray[Any]
#: Draws the picture with this name.
Draw = Callable[[str], Pixels]


def write_silent_film(
    path: Path, shots: Sequence[tuple[str, int]], draw: Draw, *, fps: int, progress: Callable[[float], None]
) -> int:
    """Write the film of ``shots``, each a picture's name and its number of frames; return the number of frames.

    A picture is encoded once for all frames of its shot. If every frame is another picture, an encoder setting for
    motion is used. ``progress`` is called with shares from 0 to 1.

    Raises:
        RenderFailed: The encoder's stream cannot be used, or has another number of frames than planned.
    """
    if len(shots) > 1 and all(length == 1 for _, length in shots):
        return _write_moving(path, shots, draw, fps, progress)
    pictures, frames = [], 0
    for name, length in shots:
        pictures.append(Caption(name, frames, frames + length))
        frames += length
    height, width = draw(shots[0][0]).shape[:2]
    runs = plan_frame_runs(pictures, frames, GOP_SECONDS * fps)
    for skip in (True, False):
        try:
            frames_written = _write(path, runs, draw, (width, height, fps), skip, progress)
        except UnexpectedStream:
            continue
        if frames_written == frames:
            return frames_written
        raise RenderFailed(f"{frames_written:,} frames were written where {frames:,} were planned")
    raise RenderFailed("the encoder of this machine writes a stream that cannot be used")


def crossfade(before: Pixels, after: Pixels, step: int, steps: int) -> Pixels:
    """Return frame ``step`` (1 to ``steps``) of a linear crossfade between two pictures, rounded to the nearest."""
    part = step / (steps + 1)
    mixed: Pixels = opencv().addWeighted(before, 1 - part, after, part, 0)
    return mixed


def _write(
    path: Path,
    runs: list[FrameRun],
    draw: Draw,
    size: tuple[int, int, int],
    skip: bool,
    progress: Callable[[float], None],
) -> int:
    frames = sum(run.length for run in runs)
    encoder = ChunkEncoder(*size, skip=skip)
    runs = runs if skip else expand(runs)

    def units() -> Iterator[AccessUnit]:
        for chunk in chunks(runs):
            yield from encoder.encode(chunk, lambda name: _frame(draw(name)))

    return write_mp4(
        path,
        units(),
        size=size,
        extradata=encoder.extradata,
        on_frame=lambda count: progress(count / frames),
    )


def _write_moving(
    path: Path, shots: Sequence[tuple[str, int]], draw: Draw, fps: int, progress: Callable[[float], None]
) -> int:
    """Write a film whose frames all differ, with references in both directions; return the number of frames."""
    with av.open(str(path), "w", format="mp4", options=_MOVING_MP4) as container:
        stream = container.add_stream(X264, rate=fps, options=_MOVING_X264)
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.height, context.width = draw(shots[0][0]).shape[:2]
        context.pix_fmt, context.gop_size = "yuv420p", GOP_SECONDS * fps
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = BT709
        context.flags |= Flags.bitexact
        context.thread_type = "FRAME"  # PyAV's default, a slice for each thread, takes a tenth more bytes
        for index, (name, _) in enumerate(shots):
            frame = _frame(draw(name))
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
            progress((index + 1) / len(shots))
        container.mux(stream.encode())
    return len(shots)


def _frame(pixels: Pixels) -> VideoFrame:
    """Return the picture in the encoder's colour format: planar YUV 4:2:0, BT.709, limited range."""
    return VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(
        format="yuv420p",
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )
