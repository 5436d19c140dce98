"""Write an MP4 file of which every frame is another picture: with references in both directions, it is smaller."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
from av.codec.context import Flags
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipelines.media.encode.aac import AacFormat
from pipelines.media.encode.chunk_encoder import BT709, X264
from pipelines.media.encode.frame_runs import GOP_SECONDS
from pipelines.media.encode.mp4 import AudioTrack

#: Index first, and the first frame at 0 s without an edit list.
_OPTIONS = {
    "movflags": "+faststart+negative_cts_offsets",
    "use_editlist": "0",
    "brand": "mp42",
    "fflags": "+bitexact",
}
#: Threads that draw, and frames that they draw ahead of the encoder.
_DRAWING, _AHEAD = 2, 4


def write_moving_mp4(
    path: Path,
    frames: Iterable[VideoFrame],
    *,
    size: tuple[int, int, int],
    x264: Mapping[str, str],
    audio: tuple[AacFormat, Iterator[bytes]] | None = None,
    on_frame: Callable[[int], None],
) -> int:
    """Write ``path`` and return the number of video frames.

    Args:
        path: The file to write.
        frames: The pictures, planar YUV 4:2:0, BT.709, limited range.
        size: Width and height in pixels, and frames per second.
        x264: The encoder's options. The number of threads belongs to them, so that every machine writes the same bytes.
        audio: As in ``write_mp4``.
        on_frame: Called with the number of frames encoded so far.
    """
    width, height, fps = size
    count = 0
    with av.open(str(path), "w", format="mp4", options=_OPTIONS) as container:
        stream = container.add_stream(X264, rate=fps, options=dict(x264))
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height = width, height
        context.pix_fmt, context.gop_size = "yuv420p", GOP_SECONDS * fps
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = BT709
        context.flags |= Flags.bitexact
        context.thread_type = "FRAME"  # PyAV's default, a slice for each thread, takes a tenth more bytes
        track = None if audio is None else AudioTrack(container, *audio, fps)
        for frame in frames:
            if track is not None:
                track.write_until(count)
            frame.pts, frame.time_base = count, Fraction(1, fps)
            container.mux(stream.encode(frame))
            count += 1
            on_frame(count)
        container.mux(stream.encode())
        if track is not None:
            track.write_until(None)
    return count


def drawn_ahead(draw: Callable[[str], VideoFrame], names: Iterable[str]) -> Iterator[VideoFrame]:
    """Yield the pictures of ``names`` in order. They are drawn in threads, while the encoder has earlier ones."""
    waiting: deque[Future[VideoFrame]] = deque()
    with ThreadPoolExecutor(_DRAWING) as pool:
        for name in names:
            waiting.append(pool.submit(draw, name))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
