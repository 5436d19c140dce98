"""Draw a reel whose background moves: every frame is drawn by itself, in the encoder's colour format."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from pipelines.media.inspect.backdrop import rounded_corners
from pipelines.media.layout import Box
from pipelines.media.scene.overlay import Overlay
from pipelines.media.scene.recent import Recent
from pipelines.media.scene.spec import Scene, frame_and_text
from pipelines.media.scene.waveform import Waveform
from pipelines.media.text.canvas import plane_pixels, to_planes
from pipelines.media.text.caption_renderer import CaptionRenderer

#: How much an image grows at most, and the seconds after which it has its first size again.
_GROWTH, _PERIOD = 0.16, 24.0
#: The seconds after which an image is at the same place again, sideways and up and down. They differ, so that it takes
#: minutes until a movement is repeated.
_SIDEWAYS, _UPWARDS = 38.0, 29.0
#: The middle of the movement, and how far it goes to each side, as shares of what is cut off. More of the upper part of
#: an image is kept, because faces are there.
_MIDDLE_X, _REACH_X, _MIDDLE_Y, _REACH_Y = 0.5, 0.4, 0.35, 0.25
#: Number of drawn captions to keep: a chorus is repeated.
_CACHED = 64


class Fixed(NamedTuple):
    """What has its place on the whole reel."""

    #: Left and top edge, and a picture in RGBA.
    labels: Sequence[tuple[int, int, Image.Image]]
    waveform: Waveform | None


class View(NamedTuple):
    """The part of an image that is shown: how much it is enlarged, and its place, from 0 (left, top) to 1."""

    zoom: float
    x: float
    y: float


def view_at(seconds: float) -> View:
    """Return what is shown of an image ``seconds`` after it has its smallest size and is at its upper end."""
    zoom = 1 + _GROWTH * (1 - math.cos(2 * math.pi * seconds / _PERIOD)) / 2
    x, y = math.sin(2 * math.pi * seconds / _SIDEWAYS), math.cos(2 * math.pi * seconds / _UPWARDS)
    return View(zoom, _MIDDLE_X + x * _REACH_X, _MIDDLE_Y - y * _REACH_Y)


def large_size(width: int, height: int, card: Box | None) -> tuple[int, int]:
    """Return the size at which an image is prepared: that of its largest view."""
    across, down = (width, height) if card is None else (card.width, card.height)
    return round(across * (1 + _GROWTH) / 2) * 2, round(down * (1 + _GROWTH) / 2) * 2


class MovingPicture:
    """One image of the background, which fills the frame or is a card on it."""

    def __init__(self, fitted: Image.Image, large: Image.Image | None, card: Box | None) -> None:
        """``fitted`` is the frame at rest, ``large`` the image at ``large_size``. The sides of ``card`` are even.

        Without ``large``, the image itself does not move.
        """
        width, height = fitted.size
        self._card = card or Box(0, 0, width, height)
        self._base = [Image.fromarray(plane) for plane in to_planes(fitted)]
        self._large = [Image.fromarray(plane) for plane in to_planes(large)] if large else []
        corners = None if card is None else rounded_corners(width, height, card)
        self._corners = [corners, *[corners and corners.reduce(2)] * 2]

    def planes(self, seconds: float) -> list[Image.Image]:
        """Return the Y, U and V planes of the frame at this time."""
        view, card = view_at(seconds), self._card
        if not self._large:
            return self._base
        planes = []
        for index, (base, large, corners) in enumerate(zip(self._base, self._large, self._corners, strict=True)):
            half = index > 0
            moved = _part(large, view, (card.width >> half, card.height >> half))
            if corners is not None:
                frame = base.copy()
                frame.paste(moved, (card.left >> half, card.top >> half), mask=corners)
                moved = frame
            planes.append(moved)
        return planes


def _part(plane: Image.Image, view: View, size: tuple[int, int]) -> Image.Image:
    """Return the part of ``plane`` that is shown. Its edges are between two pixels: so it moves without jumps."""
    width, height = plane.width / view.zoom, plane.height / view.zoom
    left, top = (plane.width - width) * view.x, (plane.height - height) * view.y
    box = (left, top, min(left + width, plane.width), min(top + height, plane.height))
    return plane.resize(size, Image.Resampling.BICUBIC, box=box)


class MovingStage:
    """Draws the frames of a reel whose background moves. Safe to use from several threads."""

    def __init__(
        self,
        size: tuple[int, int],
        fps: int,
        scene: Scene,
        pictures: Recent[MovingPicture],
        fixed: Fixed,
        renderer: CaptionRenderer,
    ) -> None:
        self._size, self._fps, self._scene = size, fps, scene
        self._pictures = pictures
        self._labels = [Overlay(*label, *size) for label in fixed.labels]
        self._waveform = fixed.waveform
        self._renderer = renderer
        self._lock = threading.Lock()
        self._captions: OrderedDict[str, Overlay | None] = OrderedDict()

    def draw(self, name: str) -> VideoFrame:
        """Return the frame that ``frame_name`` named."""
        number, text = frame_and_text(name)
        frame = VideoFrame(*self._size, "yuv420p")
        planes = []
        for target, plane in zip(frame.planes, self._background(number), strict=True):
            pixels = plane_pixels(target)[: plane.height, : plane.width]
            pixels[:] = np.asarray(plane)
            planes.append(pixels)
        for label in self._labels:
            label.put_on(planes)
        if self._waveform is not None:
            self._waveform.put_on(planes, number)
        caption = self._caption(text) if text else None
        if caption is not None:
            caption.put_on(planes)
        return frame

    def _background(self, number: int) -> list[Image.Image]:
        mix = self._scene.mix_at(number)
        planes = self._planes(mix.image, number)
        if mix.share == 1:
            return planes
        before = self._planes(mix.image - 1, number)
        return [Image.blend(old, new, mix.share) for old, new in zip(before, planes, strict=True)]

    def _planes(self, index: int, number: int) -> list[Image.Image]:
        # Every second image becomes smaller first.
        seconds = (number - self._scene.first_frame(index)) / self._fps + index % 2 * _PERIOD / 2
        return self._pictures.get(index).planes(seconds)

    def picture(self, name: str) -> Image.Image:
        """Return the same frame as a picture in sRGB."""
        frame = self.draw(name).reformat(
            format="rgb24",
            src_colorspace=Colorspace.ITU709,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
        )
        return Image.fromarray(frame.to_ndarray())

    def _caption(self, text: str) -> Overlay | None:
        with self._lock:
            if text in self._captions:
                self._captions.move_to_end(text)
                return self._captions[text]
        drawn = self._renderer.draw(text)
        overlay = None if drawn is None else Overlay(*drawn, *self._size)
        with self._lock:
            self._captions[text] = overlay
            while len(self._captions) > _CACHED:
                self._captions.popitem(last=False)
        return overlay
