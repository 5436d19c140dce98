"""Decode a picture from outside and re-encode it as PNG, which a model can open safely. Runs in the child."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.media.inspect.picture import fit_picture, open_picture
from pipelines.media.sandbox.process import Bounds, run_child
from schemas.media import InputFile

#: Longest side of what a model is given; none looks at more.
_MOST_SIDE = 2048
#: Longest side over the shortest. Models that look at the middle enlarge a line of pixels to gigabytes first.
_MOST_SHAPE = 16
_ORIENTATION = 0x0112
_LYING = (5, 6, 7, 8)


def decode_in_child(image: InputFile, folder: Path, bounds: Bounds) -> Path:
    """Write the picture as a PNG in ``folder``, decoded in a child process.

    Raises:
        InvalidImage: it is damaged, or too large.
    """
    path = folder / "picture.png"
    run_child(
        {"do": "decode", "path": str(image.path.resolve()), "kind": image.kind, "into": str(path.resolve())},
        folder,
        bounds,
    )
    return path


def decode(task: dict[str, Any]) -> dict[str, Any]:
    """Write the upright RGB picture of ``task``; return its size."""
    image = open_picture(Path(task["path"]), task["kind"])
    width, height = image.size
    if _lies(image):
        width, height = height, width
    scale = min(1.0, _MOST_SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    made = _middle(fit_picture(image, *size))
    made.save(task["into"], "PNG", compress_level=1)
    return {"width": made.width, "height": made.height}


def _middle(image: Image.Image) -> Image.Image:
    """Return the picture, cropped to its centre if it is far longer than wide."""
    most = min(image.size) * _MOST_SHAPE
    left, top = (max(0, side - most) // 2 for side in image.size)
    return image.crop((left, top, image.width - left, image.height - top))


def _lies(image: Image.Image) -> bool:
    """Return whether the EXIF orientation swaps width and height."""
    try:
        return image.getexif().get(_ORIENTATION) in _LYING
    except Exception:
        return False  # damaged: decoding reports how
