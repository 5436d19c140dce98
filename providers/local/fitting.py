"""Pictures as models make them, in the size that was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from providers.local.base import Pixels


def as_pixels(made: Any) -> Pixels:
    """A picture of numbers from 0 to 1 as bytes."""
    values = np.nan_to_num(np.asarray(made, dtype=np.float32))
    return (values.clip(0.0, 1.0) * 255.0).round().astype(np.uint8)


def in_size(pixels: Pixels, width: int, height: int, *, scale: bool) -> Pixels:
    """``pixels`` cut around the middle to ``width`` x ``height``; with ``scale``, or where too small, scaled first."""
    high, wide = pixels.shape[:2]
    if (wide, high) == (width, height):
        return pixels
    if scale or wide < width or high < height:
        factor = max(width / wide, height / high)
        size = (max(width, round(wide * factor)), max(height, round(high * factor)))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
        high, wide = pixels.shape[:2]
    left, top = (wide - width) // 2, (high - height) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def covering(picture: Image.Image, width: int, height: int) -> Image.Image:
    """``picture`` in RGB, cut to the shape and scaled to the size that a model begins with."""
    pixels = np.asarray(picture.convert("RGB"))
    return Image.fromarray(in_size(pixels, width, height, scale=True))
