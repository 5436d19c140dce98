"""A video as runs of frames that show the same picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.media.captions.placement import Caption

#: Longest distance between two key frames, in seconds: the most that a player decodes after a seek.
GOP_SECONDS = 8
#: Pictures per chunk. Each chunk starts at a key frame and has an encoder context of its own, so that chunks can be
#: encoded in parallel. The cuts depend on the content only: any number of cores produces the same bytes.
CHUNK_PICTURES = 90


@dataclass(frozen=True, slots=True)
class FrameRun:
    """One picture, shown on ``length`` consecutive frames starting at frame ``first``."""

    first: int
    length: int
    #: The picture's name for the function that draws it: for a reel, the caption; empty for none.
    text: str
    #: Whether it is a key frame (IDR).
    key: bool


def plan_frame_runs(captions: Sequence[Caption], frames: int, gop: int) -> list[FrameRun]:
    """Return the runs of a video of ``frames`` frames, with key frames at most ``gop`` frames apart.

    Key frames coincide with changes of the picture where possible. A picture shown for longer than ``gop`` frames is
    encoded again at each key frame.
    """
    changes: list[tuple[int, int, str]] = []
    position = 0
    for caption in captions:
        if caption.first > position:
            changes.append((position, caption.first, ""))
        changes.append((caption.first, caption.end, caption.text))
        position = caption.end
    if position < frames:
        changes.append((position, frames, ""))
    runs = []
    last_key = -gop
    for first, end, text in changes:
        while first < end:
            key = first - last_key >= gop or (end - last_key > gop and first - last_key >= gop // 2)
            if key:
                last_key = first
            length = min(end, last_key + gop) - first
            runs.append(FrameRun(first, length, text, key))
            first += length
    return runs


def expand(runs: Sequence[FrameRun]) -> list[FrameRun]:
    """Return the same video as runs of one frame each, for an encoder without skip slices."""
    return [
        FrameRun(run.first + index, 1, run.text, run.key and index == 0) for run in runs for index in range(run.length)
    ]


def chunks(runs: Sequence[FrameRun], size: int = CHUNK_PICTURES) -> list[list[FrameRun]]:
    """Cut the runs at key frames into chunks of about ``size`` pictures; a short last chunk joins the one before it."""
    parts: list[list[FrameRun]] = []
    for run in runs:
        # Two consecutive IDR pictures need different values of idr_pic_id (ITU-T H.264 clause 7.4.3), and two contexts
        # may choose the same one.
        if not parts or (run.key and len(parts[-1]) >= size and not (parts[-1][-1].key and parts[-1][-1].length == 1)):
            parts.append([])
        parts[-1].append(run)
    if len(parts) > 1 and len(parts[-1]) < size // 3:
        rest = parts.pop()
        parts[-1].extend(rest)
    return parts
