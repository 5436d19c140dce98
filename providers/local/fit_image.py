"""Conversion of generated images to 8 bits and to the requested size."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from providers.local.base import ImageArray
from providers.local.opencv import opencv
from schemas.errors import RenderFailed


def to_uint8(made: Any) -> ImageArray:
    """Return an image with values from 0 to 1 as uint8 (height, width, RGB).

    ``made`` is a channels-first tensor, converted on its own device, or a channels-last array.

    Raises:
        RenderFailed: the image contains NaN, which would become black.
    """
    if isinstance(made, np.ndarray):
        if made.dtype == np.uint8:
            return made
        _check_numbers(broken=bool(np.isnan(made).any()))
        return (made.astype(np.float32).clip(0.0, 1.0) * 255.0).round().astype(np.uint8)
    import torch

    _check_numbers(broken=bool(torch.isnan(made).any()))
    whole = made.float().clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8)
    return np.ascontiguousarray(whole.permute(1, 2, 0).cpu().numpy())


def _check_numbers(*, broken: bool) -> None:
    if broken:
        raise RenderFailed(
            "the model's image contains NaN, as after a float16 overflow; the operator should set weights.dtype of its "
            "entry to float32 or bfloat16"
        )


@contextlib.contextmanager
def uint8_video_frames(pipe: Any, most: int) -> Iterator[None]:
    """Make a diffusers video pipeline return only the first ``most`` frames, as uint8, within the block.

    By default it returns float32 and holds the frames twice.
    """
    processor = getattr(pipe, "video_processor", None)
    if processor is None:
        yield
        return

    def frames(video: Any, output_type: str = "np", **options: Any) -> list[list[ImageArray]]:
        return [
            [
                to_uint8(processor.postprocess(film[:, [number]].permute(1, 0, 2, 3), "pt", **options)[0])
                for number in range(min(most, film.shape[1]))
            ]
            for film in video
        ]

    processor.postprocess_video = frames
    try:
        yield
    finally:
        del processor.postprocess_video


def fit_image(pixels: ImageArray, width: int, height: int, *, scale: bool) -> ImageArray:
    """Crop ``pixels`` around the centre to ``width`` x ``height``.

    The image is scaled first if ``scale`` is set or it is too small.
    """
    high, wide = pixels.shape[:2]
    if (wide, high) == (width, height):
        return pixels
    if scale or wide < width or high < height:
        factor = max(width / wide, height / high)
        size = (max(width, round(wide * factor)), max(height, round(high * factor)))
        cv2 = opencv()
        way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LANCZOS4
        pixels = cv2.resize(pixels, size, interpolation=way)
        high, wide = pixels.shape[:2]
    left, top = (wide - width) // 2, (high - height) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def fit_pil_image(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Return ``picture`` as RGB, scaled and cropped to the size that a model starts from."""
    pixels = np.asarray(picture.convert("RGB"))
    return Image.fromarray(fit_image(pixels, width, height, scale=True))
