"""Where several pictures and the captions over all of them go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.media.layout import Box, CaptionArea, Position, arrange

#: For each picture its card, or ``None`` if it covers the frame.
Cards = list[Box | None]


def arrange_all(
    pictures: Sequence[tuple[int, int]], width: int, height: int, *, position: Position, **options: Any
) -> tuple[Cards, CaptionArea]:
    """Return the cards of the pictures, and one place for the captions that is on the edge of none of them.

    The arguments are those of ``arrange``.
    """
    layouts = [arrange(picture, width, height, position=position, **options) for picture in pictures]
    cards = [layout.card for layout in layouts]
    areas = [layout.captions for layout in layouts if layout.card] or [layouts[0].captions]
    below = [area for area in areas if area.anchor == "top"]
    if position == "middle" and 0 < len(below) < len(areas):
        # Not every card is wide enough for captions on it.
        return arrange_all(pictures, width, height, position="auto", **options)
    if below:
        return cards, max(below, key=lambda area: area.box.top)
    if position == "top":
        return cards, min(areas, key=lambda area: area.box.bottom)
    return cards, min(areas, key=lambda area: area.box.height)
