"""A video as a list of pictures and how long each is held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.media.captions.placement import Caption

#: Longest distance between two key frames, in seconds: how far a player decodes after a seek.
GOP_SECONDS = 8
#: Pictures that one encoder context takes before the next one starts at a key frame. Contexts run side by side, and
#: where they are cut depends on the content alone, so that any number of cores makes the same bytes.
CHUNK_PICTURES = 90


@dataclass(frozen=True, slots=True)
class FrameRun:
    """One picture, visible on ``length`` frames from frame ``first`` on."""

    first: int
    length: int
    #: The caption shown, empty for none.
    text: str
    #: Whether it is a key frame (IDR).
    key: bool


def plan_frame_runs(captions: Sequence[Caption], frames: int, gop: int) -> list[FrameRun]:
    """Return the runs of a video of ``frames`` frames, with key frames at most ``gop`` frames apart.

    Key frames fall on changes of the picture where they can; a picture held longer is encoded again.
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
    holds = []
    last_key = -gop
    for first, end, text in changes:
        while first < end:
            key = first - last_key >= gop or (end - last_key > gop and first - last_key >= gop // 2)
            if key:
                last_key = first
            length = min(end, last_key + gop) - first
            holds.append(FrameRun(first, length, text, key))
            first += length
    return holds


def single_frames(holds: Sequence[FrameRun]) -> list[FrameRun]:
    """Return the same video as runs of one frame each, for a plain encoder."""
    return [
        FrameRun(hold.first + index, 1, hold.text, hold.key and index == 0)
        for hold in holds
        for index in range(hold.length)
    ]


def chunks(holds: Sequence[FrameRun], size: int = CHUNK_PICTURES) -> list[list[FrameRun]]:
    """Cut the runs at key frames into parts of about ``size`` pictures; a small rest joins the part before it."""
    parts: list[list[FrameRun]] = []
    for hold in holds:
        # Two IDR pictures in a row may need different ids (clause 7.4.3), which two contexts do not agree on.
        if not parts or (hold.key and len(parts[-1]) >= size and not (parts[-1][-1].key and parts[-1][-1].length == 1)):
            parts.append([])
        parts[-1].append(hold)
    if len(parts) > 1 and len(parts[-1]) < size // 3:
        rest = parts.pop()
        parts[-1].extend(rest)
    return parts
