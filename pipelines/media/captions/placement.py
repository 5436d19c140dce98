"""When each caption is visible: times in seconds are rounded to frames once, here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.media.captions.word_groups import Group
from schemas.errors import LyricsTooLong

#: Put before the debug time of a right-to-left caption, so that the Latin letters in it do not change its direction.
_RIGHT_TO_LEFT_MARK = "\u200f"
_RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff]")
_LETTER = re.compile(r"[^\W\d_]")
#: The longest gap in seconds between two captions that is closed: a shorter one would look like a fault of the player.
_CLOSED_GAP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Span:
    """A text and when it is sung or spoken, in seconds from the start of the audio."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Caption:
    """A text and the frames on which it is visible: from ``first`` to ``end``, which is excluded."""

    text: str
    first: int
    end: int


def spread_evenly(groups: Sequence[Group], duration: float) -> list[Span]:
    """Return the spans of the groups if every word gets the same share of ``duration`` seconds (mode ``even``)."""
    total = sum(group.count for group in groups)
    return [
        Span(group.text, group.first * duration / total, (group.first + group.count) * duration / total)
        for group in groups
    ]


def place(
    spans: Sequence[Span], *, duration: float, fps: int, frames: int, offset: float, min_duration: float, debug: bool
) -> list[Caption]:
    """Return the captions for ``spans`` in a video of ``frames`` frames.

    A caption stays until the next one starts if that is within half a second.

    Args:
        spans: Texts and their times, ordered by start.
        duration: Length of the audio in seconds.
        fps: Frames per second.
        frames: Length of the video. Captions are cut at both of its ends; captions outside of it are left out.
        offset: Shift of all captions in seconds.
        min_duration: Shortest time in seconds that a caption is visible, unless the next one starts earlier.
        debug: Whether captions begin with their start time, as in ``[2.5s]``.

    Raises:
        LyricsTooLong: A caption would be visible for less than one frame.
    """
    closed = round(_CLOSED_GAP_SECONDS * fps)
    starts = [round((span.start + offset) * fps) for span in spans]
    captions = []
    for index, span in enumerate(spans):
        following = spans[index + 1].start if index + 1 < len(spans) else duration
        latest = max(following, span.start)
        stop = min(max(span.end, span.start + min_duration), latest)
        first, end = starts[index], round((stop + offset) * fps)
        if index + 1 < len(spans) and starts[index + 1] - end <= closed:
            end = max(end, starts[index + 1])
        if end <= first:
            raise LyricsTooLong(
                f"the lyrics make {len(spans):,} captions in {duration:.1f} s of audio, and some would be visible for "
                f"less than one of its {frames:,} frames; shorten the lyrics or raise words_per_group",
                field="data.lyrics",
            )
        first, end = max(first, 0), min(end, frames)
        if first < end:
            captions.append(
                Caption(_labelled(span.text, max(span.start + offset, 0.0)) if debug else span.text, first, end)
            )
    return captions


def _labelled(text: str, start: float) -> str:
    letter = _LETTER.search(text)
    mark = _RIGHT_TO_LEFT_MARK if letter and _RIGHT_TO_LEFT.match(letter[0]) else ""
    return f"{mark}[{start:.1f}s] {text}"
