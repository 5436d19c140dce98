"""WebP, AVIF and HEIC are taken too (REEL M11), and are judged as JPEG and PNG are."""

from __future__ import annotations

import base64
import io
import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.media.inspect.picture import fit_picture, open_picture
from pipelines.media.inspect.sniff import HEAD_BYTES, PICTURE_KINDS, sniff
from pipelines.memory_context import MemoryContext
from pipelines.reel import plan as plan_reel
from schemas.errors import InvalidImage
from tests.media_probe import reel_data, write_wav
from tests.unit.test_media_pictures import CORNERS, encoded, exif, fit, turned, upright

#: The test picture of ``test_media_pictures`` as HEIC; no package that tests may use can write it.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAA"
    "AAAERAAAEAAQAAAAABegABAAAAAAAAARYAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA1mlwcnAA"
    "AAC3aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AAAAMAkA"
    "AAAwAAAwAeoCCBhZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAA"
    "YAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAAR5tZGF0AAABEigBrwngIzaiP//70X3//tzHof61s3SnH+R3v//ScL"
    "//vUEa/Qwf/tWiA/a4hv/S8YlB6tzhQlbLL2VrWH+6avVhta8vVj614dq0S2FKn4yFO+CRYL+7XKI5CckeM/AtbcDsrSJ5dYLrvSbVsI9O6VqV"
    "ets+MsGjOvtWu7+W46vqdOvGv+xRICB7ZEnRRIAmZ3uV5HRo8zM88lKayHeQqumqJwWd9ADA7XEr/gbn7rirIR/H+KsCOfx+LvOGwH7F4mi39C"
    "G8HiUZrt9BGmtYpYFCByruffp1Qb5nnhn+Ii9zCW+zLdGQrgomGNUNBo8GASAc4baUHMRNj15GYyNf0Lq+hQFrklRlrP0TwXDFjM0ZpQs="
)
#: The same as a camera that was turned stores it, with the orientation as a property and as EXIF data.
TURNED_HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAaFtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAA"
    "AAAERAAAIAAQAAAAABxQABAAAAAAAAAQIAAgAAAAACxwABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVp"
    "bmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAA4GlwcnAAAADAaXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGE"
    "ABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoDCBBZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAi"
    "QAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABgAAAAQAAAABBwaXhpAAAAAAMICAgAAAAJaXJvdAMAAAAYaXBtYQAAAAAAAAABAA"
    "EFgQIDBIUAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAS5tZGF0AAAA/igBrwng40ecuq+v/Mq///0za//+TllpIJSefbFhH/Uvbf+CCBrF"
    "lE1VOD8OPMFmpBs5xXzoc7cUqrcGueByGzYUdw0Ol+LF6v7O6TqXhCi5UyCTn+FxkIT8r5i4F/2+W+/nv0zOt//7CBQj7I0+/8o6s+6GYUFEmT"
    "j3sjqlRaslHmGgnXGXmgFrfoJPf2Ef++w+sbz8GM0bZw2G9/wR+yTLeY2PmQcYaNGCpsJf/52HH/x8WJ/UIC09Ksk5p54wVaIG3WAbQ6ioV3ZT"
    "QhU/U6anRXNOmco5AjEtcMiiPuG2cQ5IIDeuvUp29Bor7ljxjRiwJii3TuKcjMz7KzC4AAAABkV4aWYAAElJKgAIAAAAAQASAQMAAQAAAAYAAA"
    "AAAAAA"
)


MAKER = (0x010F, 2, 4, b"abc\0")


def moving(form: str) -> bytes:
    """Return an animation whose first picture is the test picture."""
    data = io.BytesIO()
    others = [Image.new("RGB", (64, 96), color) for color in ("black", "white")]
    upright().save(data, form, save_all=True, append_images=others, duration=100, quality=95)
    return data.getvalue()


PICTURES = {
    "webp": lambda: encoded("WEBP"),
    "webp-moving": lambda: moving("WEBP"),
    "avif": lambda: encoded("AVIF"),
    "avif-moving": lambda: moving("AVIF"),
    "avif-turned": lambda: encoded("AVIF", 6, exif=exif(turned())),
    "avif-exif-noise": lambda: with_exif(encoded("AVIF", 6, exif=exif(turned(), MAKER)), b"\xff"),
    "avif-exif-loop": lambda: with_exif(encoded("AVIF", exif=exif(MAKER)), b"II*\0\xff\xff\xff\x7f"),
    "heic": lambda: HEIC,
    "heic-turned": lambda: TURNED_HEIC,
    "heic-exif-noise": lambda: with_exif(TURNED_HEIC, b"\xff"),
}


def with_exif(data: bytes, noise: bytes) -> bytes:
    """Return the file with noise in place of its EXIF data."""
    at = data.rindex(b"II*\0")
    return data[:at] + (noise * 26)[:26] + data[at + 26 :]


def kind_of(data: bytes) -> str:
    kind = sniff(data[:HEAD_BYTES])
    assert kind in PICTURE_KINDS
    return kind


@pytest.mark.parametrize("name", PICTURES)
def test_every_kind_is_upright_and_in_its_colours(tmp_path: Path, name: str) -> None:
    data = PICTURES[name]()
    (tmp_path / "x").write_bytes(data)
    image = fit(tmp_path / "x", kind_of(data), tmp_path)
    assert image.size == (64, 96)
    for color, (y, x) in zip(CORNERS, itertools.product((12, 84), (8, 56)), strict=True):
        expected = Image.new("RGB", (1, 1), color).getpixel((0, 0))
        assert image.getpixel((x, y)) == pytest.approx(expected, abs=25), color


@pytest.mark.parametrize("mode", ["RGBA", "L"])
@pytest.mark.parametrize("form", ["WEBP", "AVIF"])
def test_transparent_and_grey_pictures(tmp_path: Path, form: str, mode: str) -> None:
    color = (255, 0, 0, 0) if mode == "RGBA" else 128
    Image.new(mode, (40, 40), color).save(tmp_path / "x", form)
    pixel = fit_picture(open_picture(tmp_path / "x", form.lower()), 40, 40).getpixel((20, 20))
    assert pixel == pytest.approx((255,) * 3 if mode == "RGBA" else (128,) * 3, abs=2)


@pytest.mark.parametrize("name", ["webp", "avif", "avif-turned", "heic"])
@pytest.mark.parametrize("part", [0.05, 0.3, 0.6, 0.97])
def test_a_picture_that_was_cut_is_refused(tmp_path: Path, name: str, part: float) -> None:
    data = PICTURES[name]()
    (tmp_path / "x").write_bytes(data[: int(len(data) * part)])
    with pytest.raises(InvalidImage, match=r"the image (cannot be read|is truncated or damaged): .+") as caught:
        fit(tmp_path / "x", kind_of(data), tmp_path)
    assert caught.value.field == "data.image"


@pytest.mark.parametrize("name", PICTURES)
def test_noise_in_a_picture_is_an_error_of_the_picture_or_none(tmp_path: Path, name: str) -> None:
    random = np.random.default_rng(3)
    original = PICTURES[name]()
    for count in (1, 1, 2, 2, 4, 8, 60):
        data = np.frombuffer(original, np.uint8).copy()
        data[random.integers(12, len(data), count)] = random.integers(0, 256, count)
        (tmp_path / "x").write_bytes(data.tobytes())
        try:
            image = fit(tmp_path / "x", kind_of(original), tmp_path)
        except InvalidImage:
            continue
        assert image.size == (64, 96)


@pytest.mark.parametrize("name", ["avif", "heic"])
@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (12_000, 12_000), (2**31, 2), (0, 9)])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, name: str, width: int, height: int
) -> None:
    data = PICTURES[name]()
    (tmp_path / "x").write_bytes(data.replace(b"ispe\0\0\0\0" + struct.pack(">II", 64, 96),
                                              b"ispe\0\0\0\0" + struct.pack(">II", width, height)))  # fmt: skip
    with pytest.raises(InvalidImage, match=r"limit is 100 megapixels|cannot be read"):
        open_picture(tmp_path / "x", name)


def test_one_kind_under_the_name_of_another_is_not_decoded(tmp_path: Path) -> None:
    for data in (HEIC, encoded("AVIF"), encoded("WEBP"), encoded("PNG")):
        (tmp_path / "x").write_bytes(data)
        for kind in set(PICTURE_KINDS) - {kind_of(data)}:
            with pytest.raises(InvalidImage):
                open_picture(tmp_path / "x", kind)


@pytest.mark.parametrize("name", ["webp", "avif", "heic"])
def test_a_reel_takes_them_and_refuses_others_in_the_words_of_the_source(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_bytes(PICTURES[name]())
    files = {"s3://bucket/a.jpg": tmp_path / "a", "s3://bucket/a.wav": write_wav(tmp_path / "a.wav", 1)}
    assert plan_reel(reel_data("la la"), MemoryContext(tmp_path, "reel", files)).frames == 30
    gif = io.BytesIO()
    upright().save(gif, "GIF")
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    for refused in (b"This is a text.", svg, gif.getvalue(), b"\0\0\0\x20ftypisom", b"ID3\3" + bytes(99)):
        (tmp_path / "a").write_bytes(refused)
        with pytest.raises(InvalidImage, match=r"^Image must be JPG or PNG$"):
            plan_reel(reel_data("la la"), MemoryContext(tmp_path, "reel", files))
