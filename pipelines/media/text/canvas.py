"""Draw captions onto a still picture, as frames in the encoder's colour format."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray
from PIL import Image

from pipelines.media.encode.strip_encoder import Patch
from pipelines.media.text.caption_renderer import CaptionRenderer

#: One plane of a frame: shape (height, width), uint8.
Plane = NDArray[np.uint8]
#: Number of drawn captions to keep: a chorus is repeated.
_CACHED = 64
#: Side of a macroblock in pixels. Regions are aligned to macroblocks, so that those around a caption do not change.
_BLOCK = 16


class Canvas:
    """A still background in sRGB, on which captions are drawn.

    Frames are planar YUV 4:2:0, BT.709, limited range. Safe to use from several threads.
    """

    def __init__(self, background: Image.Image, renderer: CaptionRenderer) -> None:
        #: With an alpha channel, which is faster to draw on and to convert.
        self._background = background.convert("RGBA")
        self._renderer = renderer
        self._planes = to_planes(self._background)
        self._lock = threading.Lock()
        #: Per text: left, top and the planes of the region that differs from the background; ``None`` if none does.
        self._regions: OrderedDict[str, tuple[int, int, list[Plane]] | None] = OrderedDict()

    def draw(self, text: str) -> VideoFrame:
        """Return a new frame with ``text`` drawn on the background; the background alone if ``text`` is empty."""
        width, height = self._background.size
        frame = VideoFrame(width, height, "yuv420p")
        targets = [plane_pixels(plane) for plane in frame.planes]
        for target, plane in zip(targets, self._planes, strict=True):
            target[: plane.shape[0], : plane.shape[1]] = plane
        region = self._region(text) if text else None
        if region:
            x, y, planes = region
            for index, (target, plane) in enumerate(zip(targets, planes, strict=True)):
                half = index > 0
                left, top = x >> half, y >> half
                target[top : top + plane.shape[0], left : left + plane.shape[1]] = plane
        return frame

    @property
    def background(self) -> list[Plane]:
        """The planes of the background."""
        return self._planes

    def patches(self, text: str) -> list[Patch]:
        """Return the part of the frame that differs from the background, if one does."""
        region = self._region(text) if text else None
        return [Patch(*region)] if region else []

    def picture(self, text: str) -> Image.Image:
        """Return a picture in sRGB with ``text`` drawn on the background."""
        picture = self._background.convert("RGB")
        drawn = self._renderer.draw(text) if text else None
        if drawn is not None:
            x, y, caption = drawn
            picture.paste(caption, (x, y), mask=caption)
        return picture

    def _region(self, text: str) -> tuple[int, int, list[Plane]] | None:
        with self._lock:
            if text in self._regions:
                self._regions.move_to_end(text)
                return self._regions[text]
        region = self._blend(text)
        with self._lock:
            self._regions[text] = region
            while len(self._regions) > _CACHED:
                self._regions.popitem(last=False)
        return region

    def _blend(self, text: str) -> tuple[int, int, list[Plane]] | None:
        """Return the region of the picture with the caption: left and top in pixels, and its Y, U and V planes."""
        drawn = self._renderer.draw(text)
        if drawn is None:
            return None
        x, y, caption = drawn
        visible = caption.getbbox()
        if visible is None:
            return None
        x, y, caption = x + visible[0], y + visible[1], caption.crop(visible)
        width, height = self._background.size
        left, top = x // _BLOCK * _BLOCK, y // _BLOCK * _BLOCK
        right = min(-(-(x + caption.width) // _BLOCK) * _BLOCK, width)
        bottom = min(-(-(y + caption.height) // _BLOCK) * _BLOCK, height)
        blended = self._background.crop((left, top, right, bottom))
        blended.paste(caption, (x - left, y - top), mask=caption)
        return left, top, to_planes(blended)


def to_planes(picture: Image.Image) -> list[Plane]:
    """Return the Y, U and V planes of an opaque sRGB picture with even width and height.

    U and V have half its size.
    """
    width, height = picture.size
    pixels = np.asarray(picture if picture.mode == "RGBA" else picture.convert("RGBA"))
    frame = VideoFrame.from_numpy_buffer(pixels, format="rgba").reformat(
        format="yuv420p",
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        threads=1,  # starting threads takes longer than converting a caption
    )
    planes = []
    for index, plane in enumerate(frame.planes):
        half = index > 0
        planes.append(plane_pixels(plane)[: height >> half, : width >> half].copy())
    return planes


def plane_pixels(plane: VideoPlane) -> Plane:
    """Return the memory of ``plane`` as an array (rows, line size), uint8, including the padding of each row."""
    return np.frombuffer(cast(memoryview, plane), np.uint8).reshape(-1, plane.line_size)
