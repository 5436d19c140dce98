"""Open a picture from outside safely and fit it into a frame. Runs in the child process."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps, UnidentifiedImageError

from pipelines.media.inspect.picture_parts import split
from pipelines.media.sandbox.rlimits import limit_cpu_time
from schemas.errors import InvalidImage

#: Most pixels of a picture that is decoded: enough for a 50-megapixel camera, too few for a decompression bomb.
MAX_PIXELS = 100_000_000
#: Most pixels of a side, which is also the limit of JPEG.
MAX_SIDE = 65_535
#: Most CPU time for reading a picture in seconds; the slowest picture within the other limits takes a few.
_MAX_SECONDS = 30
#: Relative difference of aspect ratio up to which a picture is stretched to the frame, to avoid thin bars.
_ASPECT_TOLERANCE = 0.01
_FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "avif": "AVIF", "heic": "HEIF"}
# The backdrop of a picture with another aspect ratio: blurred at one eighth of the frame's size, with a radius that is
# a share of the longest side, and darkened by a factor.
_BACKDROP_SCALE = 8
_BACKDROP_BLUR = 0.025
_BACKDROP_BRIGHTNESS = 0.62
#: What makes a picture upright, by EXIF orientation. Its metadata are not written back, because they may be faulty.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_picture(path: Path, kind: str) -> Image.Image:
    """Open the picture at ``path`` without its metadata, and check its size from the header, without decoding it.

    The colour profile and the orientation are in the image's ``info``.

    Raises:
        InvalidImage: The file is not a picture of ``kind``, or exceeds a limit.
    """
    # Pillow's own limit is switched off: it warns at one size and raises at twice that. MAX_PIXELS is checked below.
    Image.MAX_IMAGE_PIXELS = None
    data = path.read_bytes()
    with _guarded("cannot be read"):
        parts = split(data, kind)
        if kind == "heic":
            _add_heic()
        image = Image.open(io.BytesIO(parts.pixels), formats=(_FORMATS[kind],))
    if kind == "avif":  # Pillow returns the orientation of an AVIF picture as EXIF data
        parts.exif = image.info.get("exif", b"")
    image.info |= {"icc_profile": parts.profile or image.info.get("icc_profile"), "orientation": parts.orientation}
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        image.close()
        raise InvalidImage(
            f"the image has {width:,} x {height:,} pixels ({width * height / 1e6:,.0f} megapixels), "
            f"the limit is {MAX_PIXELS // 1_000_000} megapixels and {MAX_SIDE:,} pixels a side",
            field="data.image",
        )
    return image


def _add_heic() -> None:
    """Add the decoder of HEIC to Pillow. It turns pictures upright by itself."""
    import pi_heif  # imported here because few pictures need it

    pi_heif.register_heif_opener(thumbnails=False, aux_images=False, depth_images=False, decode_threads=2)


def load_picture(image: Image.Image) -> None:
    """Decode all pixels of ``image``.

    Raises:
        InvalidImage: The picture is truncated or damaged, or takes too long to decode.
    """
    with _guarded("is truncated or damaged"):
        image.load()


def swaps_sides(image: Image.Image) -> bool:
    """Return whether the orientation of ``image`` swaps width and height."""
    return bool(image.info["orientation"] >= 5)


def fit_picture(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return ``image`` in RGB, upright and uncropped, in a frame of ``width`` x ``height`` pixels.

    If its aspect ratio differs from the frame's, a blurred and darkened copy fills the rest.

    Raises:
        InvalidImage: The picture is truncated or damaged, or takes too long to decode.
    """
    with _guarded("is truncated or damaged"):
        # The JPEG decoder may scale down by a power of two while it decodes, which saves time and memory.
        image.draft("RGB", (2 * max(width, height),) * 2)
        image.load()
        turn = _TURNS.get(image.info["orientation"])
        photo = _flatten(image if turn is None else image.transpose(turn))
    scale = min(width / photo.width, height / photo.height)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    if abs(photo.width * height / (photo.height * width) - 1) <= _ASPECT_TOLERANCE:
        size = (width, height)
    profile = image.info.get("icc_profile")
    fitted = _to_srgb(photo.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0), profile)
    fitted.info.clear()  # what is saved of it would otherwise contain the profile that was just applied
    if size == (width, height):
        return fitted
    frame = _backdrop(fitted, width, height)
    frame.paste(fitted, ((width - size[0]) // 2, (height - size[1]) // 2))
    return frame


def _flatten(image: Image.Image) -> Image.Image:
    """Return ``image`` as 8-bit RGB over white, or as CMYK if its colour profile is still needed."""
    if image.mode.startswith("I"):
        # 16-bit grey: Pillow's conversion would clip the values instead of scaling them.
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
        from PIL import ImageCms  # imported here because it loads slowly and few pictures have a profile

        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            return converted if converted is not None else image
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    return image if image.mode == "RGB" else image.convert("RGB")


def _backdrop(photo: Image.Image, width: int, height: int) -> Image.Image:
    """Return a blurred and darkened copy that covers ``width`` x ``height`` pixels."""
    small = (max(1, width // _BACKDROP_SCALE), max(1, height // _BACKDROP_SCALE))
    cover = ImageOps.fit(photo, small, Image.Resampling.BOX)
    blurred = cover.filter(ImageFilter.GaussianBlur(max(small) * _BACKDROP_BLUR))
    dark = blurred.point([round(value * _BACKDROP_BRIGHTNESS) for value in range(256)] * 3)
    return dark.resize((width, height), Image.Resampling.BICUBIC)


@contextmanager
def _guarded(fault: str) -> Iterator[None]:
    """Report any error of the decoder as ``fault`` of the image, and limit the CPU time.

    Errors of this machine pass through: Pillow sets no error number in its own.
    """
    slow = InvalidImage(
        f"the image takes more than {_MAX_SECONDS} s to decode; save it again as JPEG or PNG", field="data.image"
    )
    try:
        with limit_cpu_time(_MAX_SECONDS, slow), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (MemoryError, InvalidImage):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InvalidImage(f"the image {fault}: {_reason(error)}", field="data.image") from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "its header is damaged or of another format"
    return (str(error).splitlines() or [type(error).__name__])[0].strip()[:200] or type(error).__name__
