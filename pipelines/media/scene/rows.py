"""The rows that title, watermark and waveform have at the ends of the safe area."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pipelines.media.layout import Box

Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]

# Shares of the frame's shorter side: the space between a row and what is next to it, the em sizes of title and artist,
# the size that a watermark has at most, and the size of the waveform.
_GAP = 0.03
TITLE, ARTIST = 0.05, 0.035
MARK_WIDTH, MARK_HEIGHT = 0.26, 0.1
_WAVE_WIDTH, _WAVE_HEIGHT = 0.7, 0.08
#: The height of a line in ems.
_LINE = 1.6


class Rows(NamedTuple):
    """The places of title and artist, watermark and waveform, and the heights at both ends that captions leave free."""

    title: Box | None
    artist: Box | None
    mark: Box | None
    wave: Box | None
    above: int
    below: int


def rows_in(
    safe: Box,
    side: int,
    *,
    title: bool,
    artist: bool,
    mark: tuple[Corner, int, int] | None,
    wave: bool,
    captions_at_top: bool,
) -> Rows:
    """Return the rows in the safe area of a frame whose shorter side has ``side`` pixels.

    ``mark`` is the watermark's corner and its size in pixels.
    """
    gap = round(side * _GAP)
    mark_box = None if mark is None else _mark(safe, *mark)
    at_top, at_bottom = (mark is not None and mark[0].startswith(end) for end in ("top", "bottom"))
    # A watermark in an upper corner has the same distance to the title on both sides, so that the title is centred.
    margin = mark_box.width + gap if mark_box and at_top else 0
    left, right, top = safe.left + margin, safe.right - margin, safe.top
    title_height = round(side * TITLE * _LINE) if title else 0
    artist_height = round(side * ARTIST * _LINE) if artist else 0
    above = title_height + artist_height
    if mark_box and at_top and (above or captions_at_top):
        above = max(above, mark_box.height)
    below = mark_box.height + gap if mark_box and at_bottom else 0
    wave_box = None
    if wave:
        width, height = min(round(side * _WAVE_WIDTH), safe.width), round(side * _WAVE_HEIGHT)
        middle, bottom = (safe.left + safe.right) // 2, safe.bottom - below
        wave_box = Box(middle - width // 2, bottom - height, middle + width // 2, bottom)
        below += height + gap
    return Rows(
        title=Box(left, top, right, top + title_height) if title else None,
        artist=Box(left, top + title_height, right, top + title_height + artist_height) if artist else None,
        mark=mark_box,
        wave=wave_box,
        above=above + gap if above else 0,
        below=below,
    )


def _mark(safe: Box, corner: Corner, width: int, height: int) -> Box:
    left = safe.left if corner.endswith("left") else safe.right - width
    top = safe.top if corner.startswith("top") else safe.bottom - height
    return Box(left, top, left + width, top + height)
