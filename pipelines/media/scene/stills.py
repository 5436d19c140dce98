"""Draw a reel with several images: each is still, and replaces the one before it."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from pipelines.media.scene.recent import Recent
from pipelines.media.scene.spec import Scene, frame_and_text
from pipelines.media.text.canvas import Canvas, plane_pixels


class StillStage:
    """Draws the frames of a reel with several images. Safe to use from several threads."""

    def __init__(self, scene: Scene, canvases: Recent[Canvas]) -> None:
        self._scene, self._canvases = scene, canvases

    def draw(self, name: str) -> VideoFrame:
        """Return the frame that ``frame_name`` named."""
        number, text = frame_and_text(name)
        mix = self._scene.mix_at(number)
        frame = self._canvases.get(mix.image).draw(text)
        if mix.share < 1:
            before = self._canvases.get(mix.image - 1).draw(text)
            share = round(mix.share * 256)
            for plane, old in zip(frame.planes, before.planes, strict=True):
                pixels, under = plane_pixels(plane), plane_pixels(old)
                pixels[:] = (pixels * np.uint16(share) + under * np.uint16(256 - share) + np.uint16(128)) >> 8
        return frame

    def picture(self, name: str) -> Image.Image:
        """Return the same frame as a picture in sRGB."""
        number, text = frame_and_text(name)
        mix = self._scene.mix_at(number)
        picture = self._canvases.get(mix.image).picture(text)
        if mix.share == 1:
            return picture
        return Image.blend(self._canvases.get(mix.image - 1).picture(text), picture, mix.share)
