"""Transparent pictures over frames that are drawn in the encoder's colour format."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray
from PIL import Image

from pipelines.media.text.canvas import Plane


class Overlay:
    """A transparent picture at a place in the frame, ready to be put onto many frames."""

    def __init__(self, left: int, top: int, picture: Image.Image, width: int, height: int) -> None:
        """Convert ``picture`` (RGBA, alpha not premultiplied) for frames of ``width`` x ``height`` pixels."""
        # A sample of colour covers two pixels in each direction.
        self._left, self._top = left // 2 * 2, top // 2 * 2
        right = min(-(-(left + picture.width) // 2) * 2, width)
        bottom = min(-(-(top + picture.height) // 2) * 2, height)
        layer = Image.new("RGBA", (right - self._left, bottom - self._top))
        layer.paste(picture, (left - self._left, top - self._top))
        alpha = np.asarray(layer.getchannel("A")).astype(np.uint16)
        alpha += alpha >> 7  # from 0 to 256
        self._layers = []
        for index, plane in enumerate(_full_planes(layer.convert("RGB"))):
            weighted, share = plane * alpha, alpha
            if index:
                weighted, share = _halved(weighted), _halved(share)
            self._layers.append((weighted, 256 - share))

    def put_on(self, planes: Sequence[Plane]) -> None:
        """Blend the picture into the Y, U and V planes of a frame, in place."""
        for index, (plane, (weighted, rest)) in enumerate(zip(planes, self._layers, strict=True)):
            left, top = self._left >> (index > 0), self._top >> (index > 0)
            part = plane[top : top + rest.shape[0], left : left + rest.shape[1]]
            part[:] = (part * rest + weighted + 128) >> 8


def _full_planes(picture: Image.Image) -> list[NDArray[np.uint16]]:
    """Return the Y, U and V planes of an sRGB picture, all of its size."""
    frame = VideoFrame.from_ndarray(np.asarray(picture), format="rgb24").reformat(
        format="yuv444p",
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )
    planes: list[NDArray[np.uint16]] = list(frame.to_ndarray().astype(np.uint16))
    return planes


def _halved(values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the mean of each two by two values."""
    rows, columns = values.shape
    blocks = values.reshape(rows // 2, 2, columns // 2, 2).astype(np.uint32)
    means: NDArray[np.uint16] = ((blocks.sum((1, 3)) + 2) >> 2).astype(np.uint16)
    return means
