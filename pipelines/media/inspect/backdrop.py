"""The picture as a card with rounded corners, over a blurred and darkened copy of itself."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from pipelines.media.layout import Box

_Floats = NDArray[np.float32]

#: The backdrop is computed at one eighth of the frame's size, and enlarged.
_SCALE = 8
#: Blur of the copy, as a share of the frame's longest side, and the factor by which it is darkened.
_BLUR = 0.03
_BRIGHTNESS = 0.5
# The card's corners and its shadow, as shares of the frame's shorter side; then the shadow's opacity.
_RADIUS = 0.034
_SHADOW_BLUR, _SHADOW_OFFSET = 0.035, 0.016
_SHADOW_OPACITY = 0.55
#: The noise that hides the steps between two brightnesses: its amplitude, and the side of the tile that is repeated.
_DITHER, _TILE = 1.0, 256


def on_backdrop(picture: Image.Image, width: int, height: int, card: Box) -> Image.Image:
    """Return a frame of ``width`` x ``height`` pixels with ``picture``, of the size of ``card``, in its place."""
    frame = _backdrop(picture, width, height, card)
    frame.paste(picture, (card.left, card.top), mask=rounded_corners(width, height, card))
    return frame


def rounded_corners(width: int, height: int, card: Box) -> Image.Image:
    """Return the mask of a card in a frame of ``width`` x ``height`` pixels: its corners are rounded and smooth."""
    radius = min(min(width, height) * _RADIUS, card.width / 4, card.height / 4)
    mask = Image.new("L", (card.width * 2, card.height * 2))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, card.width * 2 - 1, card.height * 2 - 1), radius * 2, fill=255)
    return mask.reduce(2)


def _backdrop(picture: Image.Image, width: int, height: int, card: Box) -> Image.Image:
    """Return the blurred copy with the card's shadow. It is computed in floats and rounded once, with noise."""
    small = (max(1, width // _SCALE), max(1, height // _SCALE))
    cover = np.asarray(ImageOps.fit(picture, small, Image.Resampling.BOX), dtype=np.float32)
    dark = _blurred(cover, max(small) * _BLUR) * _BRIGHTNESS
    dark *= 1 - _SHADOW_OPACITY * _shadow(small, (width, height), card)[:, :, None]
    noise = np.random.default_rng(0).triangular(-_DITHER, 0, _DITHER, (_TILE, _TILE)).astype(np.float32)
    dither = np.tile(noise, (height // _TILE + 1, width // _TILE + 1))[:height, :width]
    channels = []
    for channel in range(3):
        plane = Image.fromarray(np.ascontiguousarray(dark[:, :, channel]))
        large = np.asarray(plane.resize((width, height), Image.Resampling.BICUBIC))
        channels.append(Image.fromarray((large + dither + 0.5).clip(0, 255).astype(np.uint8)))
    return Image.merge("RGB", channels)


def _shadow(small: tuple[int, int], size: tuple[int, int], card: Box) -> _Floats:
    """Return the shadow of the card, from 0 to 1, at the size ``small``."""
    shape: _Floats = np.zeros((small[1], small[0]), np.float32)
    x, y, side = small[0] / size[0], small[1] / size[1], min(size)
    down = side * _SHADOW_OFFSET
    top, bottom = round((card.top + down) * y), round((card.bottom + down) * y)
    shape[top:bottom, round(card.left * x) : round(card.right * x)] = 1
    return _blurred(shape[:, :, None], side * x * _SHADOW_BLUR)[:, :, 0]


def _blurred(pixels: _Floats, radius: float) -> _Floats:
    """Return ``pixels`` (height, width, channels) after a Gaussian blur; ``radius`` is its standard deviation."""
    reach = max(1, math.ceil(radius * 3))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1, dtype=np.float32) / max(radius, 0.1)) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        length = pixels.shape[axis]
        padding = [(reach, reach) if index == axis else (0, 0) for index in range(3)]
        padded = np.pad(pixels, padding, mode="edge")
        pixels = sum(
            (weight * padded.take(range(step, step + length), axis) for step, weight in enumerate(weights)),
            start=np.zeros_like(pixels),
        )
    return pixels
