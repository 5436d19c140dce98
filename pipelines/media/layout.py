"""Where a reel's picture and its captions go: a part of the frame each, and no caption under a platform's buttons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Fit = Literal["auto", "cover", "contain"]
Position = Literal["auto", "top", "middle", "bottom"]
SafeArea = Literal["all", "instagram", "tiktok", "shorts", "none"]

#: The largest part of a picture that ``fit`` ``auto`` cuts off to fill the frame.
_MAX_CUT = 0.2
#: Frames at least this much higher than wide are shown full screen on a phone, under the platform's buttons and texts.
_TALL = 1.5


class Box(NamedTuple):
    """A part of the frame, in pixels. ``right`` and ``bottom`` are excluded."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """The width in pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """The height in pixels."""
        return self.bottom - self.top


class _Insets(NamedTuple):
    """What captions keep clear: shares of the frame's width (each side) and height (top and bottom)."""

    side: float
    top: float
    bottom: float


# Published by Meta, and measured in the apps of TikTok and YouTube. The column of buttons at the right of TikTok and
# Shorts is kept clear on both sides, because captions are centred.
_COVERED = {
    "instagram": _Insets(0.075, 0.14, 0.35),
    "tiktok": _Insets(0.12, 0.07, 0.21),
    "shorts": _Insets(0.12, 0.1, 0.25),
}
_NOTHING_COVERED = _Insets(0.06, 0.06, 0.06)
#: Players show their controls at the lower end of a film that is wider than high.
_PLAYER_CONTROLS = _Insets(0.06, 0.06, 0.1)

# The card: shares of the frame's width (each side) and height (top), and of its shorter side (gap to the captions).
_CARD_SIDE = 0.075
_CARD_TOP = 0.1
_CARD_GAP = 0.04
#: The largest share of the height of card and captions that captions get.
_MAX_BAND = 0.45
#: The margin of captions that are shown on the card, as a share of its sides.
_CARD_MARGIN = 0.06
#: The smallest width of captions on a card, as a share of the safe area's. On a narrower card they are below it.
_MIN_ON_CARD = 0.4


@dataclass(frozen=True, slots=True)
class CaptionArea:
    """Where captions are drawn: inside ``box``, at the end of it that ``anchor`` names."""

    width: int
    height: int
    box: Box
    anchor: Literal["top", "middle", "bottom"]


@dataclass(frozen=True, slots=True)
class Layout:
    """One frame: the picture's card, or ``None`` if the picture covers the frame, and the place of the captions."""

    card: Box | None
    captions: CaptionArea


def safe_box(width: int, height: int, area: SafeArea) -> Box:
    """Return the part of a frame of ``width`` x ``height`` pixels in which captions are readable on the platforms."""
    insets = _NOTHING_COVERED
    if height < width:
        insets = _PLAYER_CONTROLS
    elif height >= width * _TALL and area != "none":
        chosen = _COVERED.values() if area == "all" else [_COVERED[area]]
        insets = _Insets(*map(max, zip(*chosen, strict=True)))
    side = round(width * insets.side)
    return Box(side, round(height * insets.top), width - side, height - round(height * insets.bottom))


def covers(picture: tuple[int, int], width: int, height: int, fit: Fit) -> bool:
    """Return whether a picture of that size fills the frame and is cut, instead of being shown whole on a card."""
    ratio = picture[0] * height / (picture[1] * width)
    cut = 1 - min(ratio, 1 / ratio)
    return fit == "cover" or cut <= (_MAX_CUT if fit == "auto" else 0.01)


def arrange(
    picture: tuple[int, int],
    width: int,
    height: int,
    *,
    fit: Fit = "auto",
    position: Position = "auto",
    safe_area: SafeArea = "all",
    caption_height: float = 0,
) -> Layout:
    """Return the layout of a frame of ``width`` x ``height`` pixels.

    Args:
        picture: Width and height of the upright picture.
        caption_height: Height in pixels that the tallest caption needs. It is kept free below or above a card.
    """
    safe = safe_box(width, height, safe_area)
    if covers(picture, width, height, fit):
        anchor: Literal["top", "middle", "bottom"] = "bottom" if position == "auto" else position
        return Layout(None, CaptionArea(width, height, safe, anchor))
    tall = height >= width * _TALL
    # What a platform draws over the upper end covers only a strip of the card.
    top = min(safe.top, round(height * _CARD_TOP)) if tall and position != "top" else safe.top
    free = safe.bottom - top
    gap = round(min(width, height) * _CARD_GAP)
    band = 0 if position == "middle" else round(min(caption_height, free * _MAX_BAND)) + gap
    side = min(safe.left, round(width * _CARD_SIDE))
    card_width, card_height = _scaled(picture, width - 2 * side, free - band)
    first = top + (free - band - card_height) // 2
    left = (width - card_width) // 2
    if position == "top":
        card = Box(left, first + band, left + card_width, first + band + card_height)
        box, anchor = Box(safe.left, first, safe.right, card.top - gap), "bottom"
    else:
        card = Box(left, first, left + card_width, first + card_height)
        box, anchor = Box(safe.left, card.bottom + gap, safe.right, card.bottom + band), "top"
    if position == "middle":
        box, anchor = _on_card(card, safe), "middle"
        if box.height < caption_height or box.width < safe.width * _MIN_ON_CARD:
            return arrange(picture, width, height, fit=fit, safe_area=safe_area, caption_height=caption_height)
    return Layout(card, CaptionArea(width, height, box, anchor))


def _scaled(picture: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """Return the largest size with the sides of ``picture`` in proportion that is within ``width`` x ``height``."""
    scale = min(width / picture[0], height / picture[1])
    return max(1, round(picture[0] * scale)), max(1, round(picture[1] * scale))


def _on_card(card: Box, safe: Box) -> Box:
    """Return the part of the card that captions may cover: away from its edges, and within ``safe``."""
    dx, dy = round(card.width * _CARD_MARGIN), round(card.height * _CARD_MARGIN)
    return Box(
        max(card.left + dx, safe.left),
        max(card.top + dy, safe.top),
        min(card.right - dx, safe.right),
        min(card.bottom - dy, safe.bottom),
    )
