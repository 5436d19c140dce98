"""Captions blended into a picture, as frames in the encoder's colour format."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from pipelines.media.lettering import Letterer

_Pixels = NDArray[np.uint8]
#: Finished captions that are kept: choruses come back.
_CACHED = 64
#: Side of a macroblock. Regions keep to them, so that nothing around a caption is encoded anew.
_BLOCK = 16


class Canvas:
    """A still background, height x width x 3 in sRGB, on which captions are drawn.

    Frames are planar YUV 4:2:0, BT.709, limited range. Safe to use from several threads.
    """

    def __init__(self, background: _Pixels, letterer: Letterer) -> None:
        self._background = background
        self._letterer = letterer
        self._planes = _to_planes(background)
        self._lock = threading.Lock()
        self._regions: OrderedDict[str, tuple[int, int, list[_Pixels]] | None] = OrderedDict()

    def draw(self, text: str) -> VideoFrame:
        """A new frame with ``text`` on it; without text, the background."""
        height, width = self._background.shape[:2]
        frame = VideoFrame(width, height, "yuv420p")
        targets = [np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]
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

    def _region(self, text: str) -> tuple[int, int, list[_Pixels]] | None:
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

    def _blend(self, text: str) -> tuple[int, int, list[_Pixels]] | None:
        """The caption's surroundings with the caption on them: left, top and the three planes."""
        drawn = self._letterer.draw(text)
        if drawn is None:
            return None
        x, y, rgba = drawn
        height, width = self._background.shape[:2]
        left, top = x // _BLOCK * _BLOCK, y // _BLOCK * _BLOCK
        right = min(-(-(x + rgba.shape[1]) // _BLOCK) * _BLOCK, width)
        bottom = min(-(-(y + rgba.shape[0]) // _BLOCK) * _BLOCK, height)
        blended = self._background[top:bottom, left:right].copy()
        inner = blended[y - top : y - top + rgba.shape[0], x - left : x - left + rgba.shape[1]]
        alpha = rgba[:, :, 3:].astype(np.uint16)
        inner[:] = (rgba[:, :, :3] * alpha + inner * (255 - alpha) + 127) // 255
        return left, top, _to_planes(blended)


def _to_planes(rgb: _Pixels) -> list[_Pixels]:
    """The Y, U and V planes of an sRGB picture of even size."""
    height, width = rgb.shape[:2]
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(
        format="yuv420p",
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )
    planes = []
    for index, plane in enumerate(frame.planes):
        half = index > 0
        pixels = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        planes.append(pixels[: height >> half, : width >> half].copy())
    return planes
