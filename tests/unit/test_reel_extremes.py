"""Reels of extreme sizes, of extreme pictures and of extreme sounds."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from pipelines.models.local_reel import render_reel
from schemas.media import InputFile, LocalFile
from tests.media_probe import Pixels, ffmpeg, frames_of, input_file, reel_data, sound_of, write_photo, write_wav

EVERYTHING = {"title": "A song", "artist": "A band", "waveform": True, "motion": "kenburns", "style": "box"}
GREEN = (30, 150, 60)


def made(folder: Path, image: Path, song: Path, kind: str | None = None, **options: Any) -> list[LocalFile]:
    """Render a reel; ``kind`` is that of the image, if it is not its suffix."""
    (folder / "job").mkdir()
    picture = input_file(image, "image") if kind is None else _as(image, kind)
    return render_reel(reel_data("la", **options), picture, input_file(song, "audio"), folder / "job")


def _as(image: Path, kind: str) -> InputFile:
    return InputFile(
        name="image", uri="s3://bucket/a", path=image, kind=kind, bytes=image.stat().st_size, sha256="0" * 64
    )


def first_frame(files: list[LocalFile]) -> Pixels:
    return next(frames_of(files[0].path))[2]


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["still", "everything"])
@pytest.mark.parametrize(
    "size", [(144, 144), (144, 3840), (3840, 144), (146, 258), (854, 480), (1082, 1918)], ids=lambda size: str(size)
)
def test_every_size_from_144_to_3840_is_rendered(
    tmp_path: Path, size: tuple[int, int], options: dict[str, Any]
) -> None:
    files = made(tmp_path, write_photo(tmp_path / "a.jpg", 300, 300), write_wav(tmp_path / "a.wav", 0.2), width=size[0],
                 height=size[1], **options)  # fmt: skip
    frames = [pixels for _, _, pixels in frames_of(files[0].path)]
    assert len(frames) == 6
    assert frames[0].shape == (size[1], size[0], 3)
    assert frames[3].std() > 5  # the photograph, and not a blank frame
    with Image.open(files[-1].path) as cover:
        assert cover.size == size


@pytest.mark.parametrize("size", [(145, 256), (256, 3841), (126, 256), (256, 3842)])
def test_other_sizes_are_refused_by_name(size: tuple[int, int]) -> None:
    with pytest.raises(ValidationError, match=r"width|height"):
        reel_data("la", width=size[0], height=size[1])


@pytest.mark.parametrize("fit", ["auto", "cover"])
@pytest.mark.parametrize("size", [(1, 30_000), (30_000, 1), (1, 1)], ids=lambda size: str(size))
@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["still", "everything"])
def test_a_picture_of_one_pixel_by_thirty_thousand(
    tmp_path: Path, size: tuple[int, int], fit: str, options: dict[str, Any]
) -> None:
    Image.new("RGB", size, GREEN).save(tmp_path / "a.png")
    frame = first_frame(made(tmp_path, tmp_path / "a.png", write_wav(tmp_path / "a.wav", 0.1), fit=fit, **options))
    red, green, blue = frame[400:].reshape(-1, 3).mean(0)  # below everything that is drawn
    assert green > 1.5 * max(red, blue)


def animated(path: Path, form: str) -> None:
    parts = [Image.new("RGB", (90, 160), color) for color in (GREEN, (200, 20, 20), (20, 20, 200))]
    parts[0].save(path, form, save_all=True, append_images=parts[1:], duration=100)


def cmyk(path: Path, form: str) -> None:
    Image.new("RGB", (90, 160), GREEN).convert("CMYK").save(path, form, quality=95)


def transparent(path: Path, form: str) -> None:
    layer = Image.new("RGBA", (90, 160), (*GREEN, 255))
    layer.paste((0, 0, 0, 0), (0, 0, 45, 160))
    layer.save(path, form)


def gain_map(path: Path, form: str) -> None:
    """Write an HDR JPEG as phones do: an ordinary picture, then a second JPEG with the gain of each pixel."""
    base, gain = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (90, 160), GREEN).save(base, form, quality=95)
    Image.new("L", (22, 40), 180).save(gain, form)
    data = base.getvalue()
    index = b"MPF\0MM\0*\0\0\0\x08" + bytes(80)
    path.write_bytes(data[:2] + b"\xff\xe2" + (len(index) + 2).to_bytes(2) + index + data[2:] + gain.getvalue())


@pytest.mark.parametrize(
    ("write", "form", "kind"),
    [
        (animated, "PNG", "png"),
        (animated, "WEBP", "webp"),
        (animated, "AVIF", "avif"),
        (cmyk, "JPEG", "jpeg"),
        (transparent, "PNG", "png"),
        (transparent, "WEBP", "webp"),
        (gain_map, "JPEG", "jpeg"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
@pytest.mark.parametrize("motion", ["none", "kenburns"])
def test_pictures_that_are_more_than_pixels(tmp_path: Path, write: Any, form: str, kind: str, motion: str) -> None:
    write(tmp_path / "a.bin", form)
    song = write_wav(tmp_path / "a.wav", 0.1)
    frame = first_frame(made(tmp_path, tmp_path / "a.bin", song, kind, motion=motion))
    assert np.abs(frame[300:400, 200:].reshape(-1, 3).mean(0) - GREEN).max() < 14
    if write is transparent:
        assert frame[300:400, :50].min() > 235


def write_silence(path: Path, seconds: float, rate: int = 44_100, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(round(seconds * rate) * 2 * channels))
    return path


@pytest.mark.parametrize("options", [{}, {"waveform": True, "loudness": -14, "fade": 1.0}], ids=["plain", "changed"])
@pytest.mark.parametrize("name", ["64 channels", "192 kHz", "0.1 s", "silent"])
def test_sounds_at_the_limits(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    song, seconds = tmp_path / "a.wav", 0.1 if name == "0.1 s" else 1.5
    if name == "64 channels":
        tone = f"sine=440:d={seconds}:r=16000"
        ffmpeg("-f", "lavfi", "-i", tone, "-af", "pan=64C|" + "|".join(f"c{n}=c0" for n in range(64)), str(song))
    elif name == "silent":
        write_silence(song, seconds)
    else:
        write_wav(song, seconds, 192_000 if name == "192 kHz" else 44_100)
    files = made(tmp_path, write_photo(tmp_path / "a.jpg"), song, **options)
    assert len(list(frames_of(files[0].path))) == round(seconds * 30)
    samples, rate = sound_of(files[0].path)
    assert rate in (44_100, 48_000)
    assert len(samples) / rate == pytest.approx(seconds, abs=0.05)
    assert (float(np.abs(samples).max()) < 0.001) == (name == "silent")
    assert np.abs(samples).max() < 1


def hdr_value(light: float, transfer: str) -> int:
    """Return the 10-bit value of ``light``, in candela per square metre, by the standards' own equations."""
    if transfer == "smpte2084":
        power = (light / 10_000) ** 0.1593017578125
        return round(1023 * float(((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375))
    scene = float((light / 1_000) ** (1 / 1.2))
    value = (3 * scene) ** 0.5 if scene <= 1 / 12 else 0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073
    return round(1023 * float(value))


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"], ids=["PQ", "HLG"])
@pytest.mark.parametrize(("light", "shown"), [(0.5, 13), (40, 123), (203, 243), (1_000, 255)])
def test_the_brightness_of_an_hdr_picture_is_that_of_paper(
    tmp_path: Path, transfer: str, light: float, shown: int
) -> None:
    # A grey of ``light`` in a room where paper has 203: sRGB has the same share of white, but for the brightest.
    grey = hdr_value(light, transfer)
    chain = f"nullsrc=s=90x160:d=0.04:r=25,format=yuv420p10le,geq=lum={grey}:cb=512:cr=512,"
    chain += f"setparams=range=pc:color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc"
    path = tmp_path / "a.avif"
    ffmpeg("-f", "lavfi", "-i", chain, "-frames:v", "1", "-c:v", "libaom-av1", "-cpu-used", "8", "-still-picture", "1",
           str(path))  # fmt: skip
    frame = first_frame(made(tmp_path, path, write_wav(tmp_path / "a.wav", 0.1), "avif"))
    assert frame[300:].reshape(-1, 3).mean(0) == pytest.approx(shown, abs=8)
