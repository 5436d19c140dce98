"""A picture is judged by its pixels: metadata never refuse it, and what only costs time is refused before decoding."""

from __future__ import annotations

import errno
import io
import itertools
import struct
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from pipelines.media.inspect import picture
from pipelines.media.inspect.decode import decode
from pipelines.media.inspect.in_child import probe
from pipelines.media.inspect.picture import fit_picture, open_picture
from schemas.errors import InvalidImage, ProviderResultInvalid

KINDS = {"JPEG": "jpeg", "PNG": "png", "WEBP": "webp", "AVIF": "avif"}
#: The corners of the test picture when it is upright.
CORNERS = ("red", "lime", "blue", "yellow")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def upright() -> Image.Image:
    """Return a picture of 64 x 96 pixels whose quarters have the colours ``CORNERS``."""
    image = Image.new("RGB", (64, 96))
    for color, (top, left) in zip(CORNERS, itertools.product((0, 48), (0, 32)), strict=True):
        image.paste(color, (left, top, left + 32, top + 48))
    return image


def encoded(form: str, orientation: int = 1, **options: object) -> bytes:
    """Return the picture as a camera that was turned to this EXIF orientation stores it, with metadata."""
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    turn = undo.get(orientation) or picture._TURNS.get(orientation)
    image = upright() if turn is None else upright().transpose(turn)
    data = io.BytesIO()
    best: dict[str, dict[str, object]] = {
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 95, "subsampling": "4:4:4", "speed": 10},
    }
    image.save(data, form, **best.get(form, {"quality": 95, "subsampling": 0}), **options)
    return data.getvalue()


def exif(*entries: tuple[int, int, int, bytes], order: str = "<") -> bytes:
    """Return EXIF data whose first directory has these entries: tag, type, count, four bytes of value."""
    directory = b"".join(struct.pack(f"{order}HHI", *entry[:3]) + entry[3] for entry in entries)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    return b"Exif\0\0" + head + directory + struct.pack(f"{order}I", 8)  # the next directory is this one: a loop


def turned(value: int = 6) -> tuple[int, int, int, bytes]:
    return (0x0112, 3, 1, struct.pack("<HH", value, 0))


def chunk(name: bytes, body: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(name + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)


def with_chunk(added: bytes, *, at_end: bool = False) -> bytes:
    """Return the picture as PNG with another chunk behind the header, or before the end."""
    data = encoded("PNG")
    position = len(data) - 12 if at_end else 33
    return data[:position] + added + data[position:]


def with_segments(*segments: tuple[int, bytes]) -> bytes:
    data = encoded("JPEG")
    return (
        data[:2] + b"".join(struct.pack(">BBH", 255, code, len(body) + 2) + body for code, body in segments) + data[2:]
    )


def with_webp_chunk(name: bytes, body: bytes, flag: int, size: int | None = None) -> bytes:
    """Return the picture as WebP with one chunk of metadata behind the pixels; ``size`` is what its header states."""
    pixels = encoded("WEBP")[12:]
    canvas = struct.pack("<4sIB3x", b"VP8X", 10, flag) + (63).to_bytes(3, "little") + (95).to_bytes(3, "little")
    added = struct.pack("<4sI", name, len(body) if size is None else size) + body + bytes(len(body) % 2)
    content = b"WEBP" + canvas + pixels + added
    return b"RIFF" + struct.pack("<I", len(content)) + content


def text(name: str, *, packed: bool = False, language: bool = False) -> bytes:
    info = PngImagePlugin.PngInfo()
    content = f'{{"nodes": [{name!r}]}}' * 100_000
    (info.add_itxt if language else info.add_text)("workflow", content, zip=packed)
    return encoded("PNG", pnginfo=info)


BIG = zlib.compress(bytes(300 * 1024**2), 9)
ODD_METADATA: dict[str, Callable[[], bytes]] = {
    "F7-ztxt": lambda: text("a", packed=True),
    "F7-itxt-packed": lambda: text("b", packed=True, language=True),
    "F7-itxt-plain": lambda: text("c", language=True),
    "F7-text": lambda: text("d"),
    "F7-iccp-monitor": lambda: with_chunk(chunk(b"iCCP", b"monitor\0\0" + zlib.compress(SRGB + bytes(1_600_000)))),
    "F7-iccp-bomb": lambda: with_chunk(chunk(b"iCCP", b"bomb\0\0" + BIG)),
    "F7-iccp-method": lambda: with_chunk(chunk(b"iCCP", b"odd\0\7" + zlib.compress(SRGB))),
    "F7-iccp-empty": lambda: with_chunk(chunk(b"iCCP", b"")),
    "F7-ztxt-bomb": lambda: with_chunk(chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + BIG)),
    "F7-checksum": lambda: with_chunk(chunk(b"tEXt", b"Comment\0hello", 7)),
    "F7-checksum-behind": lambda: with_chunk(chunk(b"tEXt", b"Comment\0hello", 7), at_end=True),
    "F7-gamma-short": lambda: with_chunk(chunk(b"gAMA", b"\0")),
    "F7-exif-80MB": lambda: with_chunk(
        chunk(b"eXIf", exif(*((tag, 7, 80_000_000, bytes(4)) for tag in range(9))) * 999)
    ),
    "F7-app1-huge": lambda: with_segments(*((0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(65000)),) * 150),
    "F7-app2-profile-short": lambda: with_segments((0xE2, b"ICC_PROFILE\0")),
    "F7-app2-profile-noise": lambda: with_segments((0xE2, b"ICC_PROFILE\0\1\1" + b"noise" * 999)),
    "F7-app2-mpf-noise": lambda: with_segments((0xE2, b"MPF\0II*\0\xff\xff\xff\xff")),
    "F7-app13-short": lambda: with_segments((0xED, b"Photoshop 3.0\0" + b"8BIM")),
    "F7-jfif-short": lambda: with_segments((0xE0, b"JFIF")),
    "F7-adobe-short": lambda: with_segments((0xEE, b"Adobe")),
    "F7-webp-profile": lambda: with_webp_chunk(b"ICCP", b"noise" * 400_000, 0x20),
    "F7-webp-exif-cut": lambda: with_webp_chunk(b"EXIF", b"II*\0", 0x08, size=9000),
    "F7-webp-xmp": lambda: with_webp_chunk(b"XMP ", b"<" * 3_000_000, 0x04),
    "F8-exif-noise": lambda: encoded("JPEG", exif=b"Exif\0\0" + b"\xff" * 500),
    "F8-exif-cut": lambda: encoded("PNG", exif=exif(turned())[:20]),
    "F8-directory-outside": lambda: encoded("WEBP", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
    "F8-orientation-0": lambda: encoded("JPEG", exif=exif(turned(0))),
    "F8-orientation-9": lambda: encoded("PNG", exif=exif(turned(9))),
    "F8-orientation-text": lambda: encoded("JPEG", exif=exif((0x0112, 2, 2, b"6\0\0\0"))),
    "F8-orientation-two": lambda: encoded("WEBP", exif=exif((0x0112, 3, 2, b"\6\0\6\0"))),
    "F8-orientation-rational": lambda: encoded("JPEG", exif=exif((0x0112, 5, 1, b"\xff\xff\xff\xff"))),
}
FAULTY = ((0x011A, 2, 4, b"72/1"), (0x011B, 7, 1, bytes(4)), (0x8769, 4, 1, struct.pack("<I", 8)))
TURNED: dict[str, Callable[[], bytes]] = {
    **{
        f"F8-{form}-{value}": partial(encoded, form, value, exif=exif(turned(value)))
        for form in KINDS
        for value in range(1, 9)
    },
    "F8-resolution-as-text": lambda: encoded("JPEG", 6, exif=exif(turned(), *FAULTY)),
    "F8-faults-first": lambda: encoded("PNG", 6, exif=exif(*FAULTY, turned())),
    "F8-maker-note-outside": lambda: encoded("WEBP", 6, exif=exif((0x927C, 7, 2**31, b"\xff" * 4), turned())),
    "F8-big-endian": lambda: encoded("JPEG", 6, exif=exif((0x0112, 3, 1, b"\0\6\0\0"), order=">")),
    "F8-long": lambda: encoded("JPEG", 6, exif=exif((0x0112, 4, 1, b"\6\0\0\0"))),
    "F8-xmp-jpeg": lambda: encoded("JPEG", 6, xmp=XMP),
    "F8-xmp-webp": lambda: encoded("WEBP", 6, xmp=XMP),
}


def written(folder: Path, data: bytes) -> tuple[Path, str]:
    kind = {b"\xff\xd8": "jpeg", b"\x89P": "png", b"RI": "webp", b"\0\0": "avif"}[data[:2]]
    (folder / f"picture.{kind}").write_bytes(data)
    return folder / f"picture.{kind}", kind


@pytest.mark.parametrize("name", [*ODD_METADATA, *TURNED])
def test_metadata_never_refuse_or_misplace_the_pixels(tmp_path: Path, name: str) -> None:
    path, kind = written(tmp_path, (ODD_METADATA | TURNED)[name]())
    for folder, open_upright in (("film", fit), ("model", decoded)):
        (tmp_path / folder).mkdir()
        image = open_upright(path, kind, tmp_path / folder)
        points = itertools.product((12, 84), (8, 56))
        assert image.size == (64, 96)
        for color, (y, x) in zip(CORNERS, points, strict=True):
            expected = Image.new("RGB", (1, 1), color).getpixel((0, 0))
            assert image.getpixel((x, y)) == pytest.approx(expected, abs=12), (folder, color)


def fit(path: Path, kind: str, folder: Path) -> Image.Image:
    return fit_picture(open_picture(path, kind), 64, 96)


def decoded(path: Path, kind: str, folder: Path) -> Image.Image:
    decode(path, kind, folder / "picture.png")
    with Image.open(folder / "picture.png") as image:
        image.load()
    return image


@pytest.mark.parametrize("name", ["F7-ztxt", "F7-iccp-bomb", "F7-webp-exif-cut", "F7-jfif-short", "F8-exif-noise"])
def test_a_providers_picture_is_judged_by_its_pixels_too(tmp_path: Path, name: str) -> None:
    path, kind = written(tmp_path, ODD_METADATA[name]())
    facts = probe(path, kind, tmp_path)
    assert (facts.width, facts.height) == (64, 96)
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 2] if kind != "webp" else encoded("WEBP")[:60])
    with pytest.raises(ProviderResultInvalid, match="the picture cannot be decoded"):
        probe(path, kind, tmp_path)


def test_the_colour_profile_is_still_used(tmp_path: Path) -> None:
    # A profile that swaps red and blue shows whether it was applied.
    swapped = SRGB.replace(b"rXYZ", b"tXYZ").replace(b"bXYZ", b"rXYZ").replace(b"tXYZ", b"bXYZ")
    (tmp_path / "model").mkdir()
    for form, kind in KINDS.items():
        path, _ = written(tmp_path, encoded(form, icc_profile=swapped))
        color = fit_picture(open_picture(path, kind), 64, 96).getpixel((8, 12))
        assert isinstance(color, tuple)
        assert color[2] > 200, form
        assert color[0] < 100, form
        assert "icc_profile" not in decoded(path, kind, tmp_path / "model").info, form


def scans(count: int) -> bytes:
    """Return a progressive JPEG with ``count`` scans: the last one, which refines the darkest bits, is repeated."""
    data = encoded("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    tables = data.rindex(b"\xff\xc4", 0, last)
    return data[:-2] + data[tables:-2] * (count - data.count(b"\xff\xda")) + data[-2:]


@pytest.mark.parametrize("count", [101, 300, 60_000])
def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded_attack_6(tmp_path: Path, count: int) -> None:
    path, _ = written(tmp_path, scans(count))
    started = time.process_time()
    with pytest.raises(InvalidImage, match="more than 100 scans; save it again") as caught:
        open_picture(path, "jpeg")
    assert time.process_time() - started < 1
    assert caught.value.field == "data.image"


def test_ordinary_scans_and_what_follows_the_picture_are_no_matter_attack_6(tmp_path: Path) -> None:
    # A phone's moving picture is a film behind the JPEG; its bytes look like markers here and there.
    for data in (encoded("JPEG", progressive=True), scans(100), encoded("JPEG") + b"\xff\xda\0\2" * 999):
        path, kind = written(tmp_path, data)
        assert fit_picture(open_picture(path, kind), 64, 96).getpixel((8, 12)) == pytest.approx((254, 0, 0), abs=12)


@pytest.mark.parametrize("size", [(1, 100_000_000), (65_536, 1), (70_000, 900)])
def test_a_side_of_more_than_65535_pixels_is_refused_attack_6(tmp_path: Path, size: tuple[int, int]) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
    path, _ = written(
        tmp_path, b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
    with pytest.raises(InvalidImage, match="65,535 pixels a side"):
        open_picture(path, "png")
    with pytest.raises(ProviderResultInvalid, match="65,535 pixels a side"):
        probe(path, "png", tmp_path)


def test_decoding_a_picture_has_a_time_limit_of_its_own_attack_6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.effect_noise((3000, 2000), 90).save(tmp_path / "noise.png", compress_level=1)
    monkeypatch.setattr(picture, "_MAX_SECONDS", 0.01)
    with pytest.raises(InvalidImage, match=r"takes more than 0\.01 s to decode"):
        fit_picture(open_picture(tmp_path / "noise.png", "png"), 64, 96)
    assert picture._MAX_SECONDS < 60


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EIO, errno.EAGAIN])
def test_a_fault_of_the_machine_while_a_picture_is_decoded_is_not_the_pictures_attack_1(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.png").write_bytes(encoded("PNG"))

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "of this machine")

    monkeypatch.setattr(Image, "open", fail)  # Pillow imports its decoders there
    with pytest.raises(OSError, match="of this machine"):
        open_picture(tmp_path / "p.png", "png")
