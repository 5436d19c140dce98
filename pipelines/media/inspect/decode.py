"""Decode a picture from outside and re-encode it as PNG, which a model can open safely. Runs in the child process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.media.inspect.picture import fit_picture, open_picture, swaps_sides

#: Longest side in pixels of a picture that is given to a model; no model uses more.
_MAX_SIDE = 2048
#: Greatest ratio of the longest side to the shortest. Models that crop the centre first scale the shortest side up,
#: which turns a line of pixels into gigabytes.
_MAX_ASPECT_RATIO = 16


def decode(path: Path, kind: str, target: Path) -> dict[str, Any]:
    """Write the picture at ``path`` to ``target`` as an upright RGB PNG; return its size in pixels.

    Raises:
        InvalidImage: The picture is damaged, or has too many pixels.
    """
    image = open_picture(path, kind)
    width, height = image.size
    if swaps_sides(image):
        width, height = height, width
    scale = min(1.0, _MAX_SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = _crop_centre(fit_picture(image, *size))
    picture.save(target, "PNG", compress_level=1)
    return {"width": picture.width, "height": picture.height}


def _crop_centre(image: Image.Image) -> Image.Image:
    """Crop the picture to its centre where one side is more than ``_MAX_ASPECT_RATIO`` times the other."""
    limit = min(image.size) * _MAX_ASPECT_RATIO
    left, top = (max(0, side - limit) // 2 for side in image.size)
    return image.crop((left, top, image.width - left, image.height - top))
