"""Encode pictures as an MP4 file, silent or with a sound.

A picture is drawn when the encoder needs it: memory use does not grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from pipelines.media.captions.placement import Caption
from pipelines.media.encode.aac import AacFormat
from pipelines.media.encode.chunk_encoder import AccessUnit, ChunkEncoder
from pipelines.media.encode.frame_runs import GOP_SECONDS, FrameRun, chunks, expand, plan_frame_runs
from pipelines.media.encode.h264 import UnexpectedStream
from pipelines.media.encode.moving_film import write_moving_mp4
from pipelines.media.encode.mp4 import write_mp4
from providers.local.opencv import opencv
from schemas.errors import RenderFailed

#: What makes moving pictures small: compared with that, the model's own time is long. The number of threads is fixed,
#: so that every machine writes the same bytes.
_MOVING_X264 = {"preset": "medium", "crf": "20", "threads": "2"}
#: An RGB picture: shape (height, width, 3), uint8.
Pixels = NDArray[Any]
#: Draws the picture with this name.
Draw = Callable[[str], Pixels]
#: Returns the format of a sound and its frames, from the first one on.
ReadSound = Callable[[], tuple[AacFormat, Iterator[bytes]]]


def write_silent_film(
    path: Path,
    shots: Sequence[tuple[str, int]],
    draw: Draw,
    *,
    fps: int,
    progress: Callable[[float], None],
    sound: ReadSound | None = None,
) -> int:
    """Write the film of ``shots``, each a picture's name and its number of frames; return the number of frames.

    A picture is encoded once for all frames of its shot. If every frame is another picture, an encoder setting for
    motion is used. ``progress`` is called with shares from 0 to 1.

    Raises:
        RenderFailed: The encoder's stream cannot be used, or has another number of frames than planned.
    """
    if len(shots) > 1 and all(length == 1 for _, length in shots):
        height, width = draw(shots[0][0]).shape[:2]
        return write_moving_mp4(
            path,
            (_frame(draw(name)) for name, _ in shots),
            size=(width, height, fps),
            x264=_MOVING_X264,
            audio=sound and sound(),
            on_frame=lambda count: progress(count / len(shots)),
        )
    pictures, frames = [], 0
    for name, length in shots:
        pictures.append(Caption(name, frames, frames + length))
        frames += length
    height, width = draw(shots[0][0]).shape[:2]
    runs = plan_frame_runs(pictures, frames, GOP_SECONDS * fps)
    for skip in (True, False):
        try:
            frames_written = _write(path, runs, draw, (width, height, fps), skip, progress, sound)
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
    sound: ReadSound | None,
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
        audio=sound and sound(),
        on_frame=lambda count: progress(count / frames),
    )


def _frame(pixels: Pixels) -> VideoFrame:
    """Return the picture in the encoder's colour format: planar YUV 4:2:0, BT.709, limited range."""
    return VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(
        format="yuv420p",
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )
