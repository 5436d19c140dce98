"""Open a picture from outside safely and fit it into a frame. Runs in the child process."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipelines.media.inspect.backdrop import on_backdrop
from pipelines.media.inspect.hdr import HLG, PQ, to_sdr
from pipelines.media.inspect.picture_parts import split
from pipelines.media.layout import Box
from pipelines.media.sandbox.rlimits import limit_cpu_time
from schemas.errors import InvalidImage

#: Most pixels of a picture that is decoded: enough for a 50-megapixel camera, too few for a decompression bomb.
MAX_PIXELS = 100_000_000
#: Most pixels of a side, which is also the limit of JPEG.
MAX_SIDE = 65_535
#: Most CPU time for reading a picture in seconds; the slowest picture within the other limits takes a few.
_MAX_SECONDS = 30
#: What of a picture is kept if it is cut to fill the frame: the middle, and a little more of its upper part.
_FOCUS_X, _FOCUS_Y = 0.5, 0.4
_FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "avif": "AVIF", "heic": "HEIF"}
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
    image.info["cicp"] = parts.cicp
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


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return the width and height in pixels that ``image`` has when it is upright."""
    width, height = image.size
    return (height, width) if swaps_sides(image) else (width, height)


def fit_picture(image: Image.Image, width: int, height: int, card: Box | None = None) -> Image.Image:
    """Return ``image`` in RGB and upright in a frame of ``width`` x ``height`` pixels.

    It covers the frame and is cut where its aspect ratio differs; with ``card``, it is shown there, with rounded
    corners over a blurred and darkened copy that fills the rest.

    Raises:
        InvalidImage: The picture is truncated or damaged, or takes too long to decode.
    """
    with _guarded("is truncated or damaged"):
        # The JPEG decoder may scale down by a power of two while it decodes, which saves time and memory.
        image.draft("RGB", (2 * max(width, height),) * 2)
        image.load()
        turn = _TURNS.get(image.info["orientation"])
        photo = _flatten(image if turn is None else image.transpose(turn))
    part = _kept(photo.size, width, height) if card is None else (0, 0, *photo.size)
    size = (width, height) if card is None else (card.width, card.height)
    scaled = photo.resize(size, Image.Resampling.LANCZOS, box=part, reducing_gap=3.0)
    fitted = _to_srgb(scaled, image)
    fitted.info.clear()  # what is saved of it would otherwise contain the profile that was just applied
    return fitted if card is None else on_backdrop(fitted, width, height, card)


def load_layer(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return ``image`` in RGBA and upright, with its transparency, reduced to at most ``width`` x ``height`` pixels.

    Raises:
        InvalidImage: The picture is truncated or damaged, or takes too long to decode.
    """
    with _guarded("is truncated or damaged"):
        image.load()
        turn = _TURNS.get(image.info["orientation"])
        whole = image if turn is None else image.transpose(turn)
    layer = whole.convert("RGBA") if _is_transparent(whole) else _flatten(whole)
    layer.thumbnail((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    alpha = layer.getchannel("A") if layer.mode == "RGBA" else None
    colors = _to_srgb(layer if alpha is None else layer.convert("RGB"), image)
    colors.putalpha(255 if alpha is None else alpha)
    return colors


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def _kept(size: tuple[int, int], width: int, height: int) -> tuple[float, float, float, float]:
    """Return the part of a picture of ``size`` with the aspect ratio of the frame."""
    scale = min(size[0] / width, size[1] / height)
    left, top = (size[0] - width * scale) * _FOCUS_X, (size[1] - height * scale) * _FOCUS_Y
    return left, top, min(left + width * scale, size[0]), min(top + height * scale, size[1])


def _flatten(image: Image.Image) -> Image.Image:
    """Return ``image`` as 8-bit RGB over white, or as CMYK if its colour profile is still needed."""
    if image.mode.startswith("I"):
        # 16-bit grey: Pillow's conversion would clip the values instead of scaling them.
        values = np.asarray(image)
        return Image.fromarray((values.clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if _is_transparent(image):
        layer = image.convert("RGBA")
        flat = Image.new("RGB", layer.size, "white")
        flat.paste(layer, mask=layer.getchannel("A"))
        return flat
    if image.mode == "CMYK" and image.info.get("icc_profile"):
        return image
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_srgb(image: Image.Image, opened: Image.Image) -> Image.Image:
    """Return ``image``, a part of ``opened``, in sRGB. An unusable colour profile is ignored."""
    primaries, transfer = opened.info["cicp"]
    if transfer in (PQ, HLG):
        return to_sdr(image, primaries, transfer)
    profile = opened.info.get("icc_profile")
    if profile:
        from PIL import ImageCms  # imported here because it loads slowly and few pictures have a profile

        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            return converted if converted is not None else image
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    return image if image.mode == "RGB" else image.convert("RGB")


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
