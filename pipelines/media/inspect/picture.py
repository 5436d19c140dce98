"""Open a photograph safely and fit it into the reel's frame."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from schemas.errors import InvalidImage

#: Largest picture that is decoded, in pixels. A 50-megapixel camera fits; a decompression bomb does not.
MAX_PIXELS = 100_000_000
#: Relative difference of shape up to which a picture is stretched to fill the frame instead of getting thin bars.
_SHAPE_TOLERANCE = 0.01
_FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}
# The fill behind a picture of another shape: blurred at an eighth of the size, and darkened.
_BACKDROP_SCALE = 8
_BACKDROP_BLUR = 0.025
_BACKDROP_BRIGHTNESS = 0.62


def open_picture(path: Path, kind: str) -> Image.Image:
    """Open the picture at ``path`` and check its size from the header, without decoding it.

    Raises:
        InvalidImage: it is not a JPEG or PNG (``kind`` says which), or has more than ``MAX_PIXELS``.
    """
    # Pillow's own limit warns first and raises later; MAX_PIXELS is one limit, checked before any decoding.
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(path, formats=(_FORMATS[kind],))
    except Exception as error:
        raise InvalidImage(f"the image cannot be read: {_reason(error)}", field="data.image") from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        image.close()
        raise InvalidImage(
            f"the image has {width:,} x {height:,} pixels ({width * height / 1e6:,.0f} megapixels), "
            f"the limit is {MAX_PIXELS // 1_000_000} megapixels",
            field="data.image",
        )
    return image


def fit_picture(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return ``image`` in RGB, upright and uncropped, in a frame of ``width`` x ``height`` pixels.

    Where its shape differs from the frame's, a blurred and darkened copy fills the rest.

    Raises:
        InvalidImage: it ends early or is damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Lets the JPEG decoder scale down by whole powers of two while it decodes: less time and memory.
            image.draft("RGB", (2 * max(width, height),) * 2)
            image.load()
            upright = ImageOps.exif_transpose(image)
            photo = _flatten(upright)
    except MemoryError:
        raise
    except Exception as error:
        image.close()
        raise InvalidImage(f"the image is truncated or damaged: {_reason(error)}", field="data.image") from None
    scale = min(width / photo.width, height / photo.height)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    if abs(photo.width * height / (photo.height * width) - 1) <= _SHAPE_TOLERANCE:
        size = (width, height)
    profile = image.info.get("icc_profile")
    fitted = _to_srgb(photo.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0), profile)
    if size == (width, height):
        return fitted
    frame = _backdrop(fitted, width, height)
    frame.paste(fitted, ((width - size[0]) // 2, (height - size[1]) // 2))
    return frame


def _flatten(image: Image.Image) -> Image.Image:
    """Return ``image`` without transparency (over white), palette or more than 8 bits: RGB, or CMYK for its profile."""
    if image.mode.startswith("I"):
        # 16-bit grey: Pillow's own conversion would clip instead of scaling.
        values = np.asarray(image)
        return Image.fromarray((values.clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        flat = Image.new("RGB", layer.size, "white")
        flat.paste(layer, mask=layer.getchannel("A"))
        return flat
    if image.mode == "CMYK" and image.info.get("icc_profile"):
        return image
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return ``image`` in sRGB. An unusable colour profile is ignored."""
    if profile:
        from PIL import ImageCms  # only wide-gamut pictures need it, and it takes time to load

        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            return converted if converted is not None else image
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    return image if image.mode == "RGB" else image.convert("RGB")


def _backdrop(photo: Image.Image, width: int, height: int) -> Image.Image:
    small = (max(1, width // _BACKDROP_SCALE), max(1, height // _BACKDROP_SCALE))
    cover = ImageOps.fit(photo, small, Image.Resampling.BOX)
    blurred = cover.filter(ImageFilter.GaussianBlur(max(small) * _BACKDROP_BLUR))
    dark = blurred.point([round(value * _BACKDROP_BRIGHTNESS) for value in range(256)] * 3)
    return dark.resize((width, height), Image.Resampling.BICUBIC)


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    # Pillow names our own path in some messages; it means nothing to the sender.
    return text.partition("'/")[0].strip()[:200] or type(error).__name__
