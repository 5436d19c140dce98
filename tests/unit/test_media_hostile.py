"""Media that is mislabelled, truncated or too large, or that refers to other files."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.media.encode.aac import start_aac
from pipelines.media.inspect.picture import fit_picture, open_picture
from pipelines.media.inspect.sound import measure
from pipelines.media.sandbox import process
from pipelines.media.sandbox.process import Bounds, Task, run_child
from pipelines.models.local_reel import _ffmpeg, render_reel
from schemas.errors import InvalidAudio, InvalidImage, OutOfMemory, RenderFailed, RenderTimeout
from schemas.media import InputFile
from tests.media_probe import ffmpeg, input_file, processes_naming, reel_data, write_photo, write_wav
from tests.telecine_process import wait_until


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """Return a PNG whose header declares ``width`` x ``height`` grey pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def as_input(path: Path, kind: str) -> InputFile:
    return InputFile(name="x", uri="s3://bucket/x", path=path, kind=kind, bytes=path.stat().st_size, sha256="0")


def song(folder: Path, suffix: str, seconds: float = 10.0) -> Path:
    source = write_wav(folder / "source.wav", seconds)
    if suffix == "wav":
        return source
    target = folder / f"song.{suffix}"
    ffmpeg("-i", str(source), *(["-b:a", "128k"] if suffix == "mp3" else []), str(target))
    return target


# --- pictures -------------------------------------------------------------------------------------------------------


def test_a_picture_of_forty_thousand_pixels_a_side_is_refused_by_its_header(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png(40_000, 40_000))
    started = time.monotonic()
    with pytest.raises(InvalidImage, match=r"40,000 x 40,000 pixels \(1,600 megapixels\), the limit is 100 megapixels"):
        open_picture(tmp_path / "bomb.png", "png")
    assert time.monotonic() - started < 15  # decoding it takes longer


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_truncated_picture_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write_photo(tmp_path / f"photo.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InvalidImage, match="truncated or damaged"):
        fit_picture(open_picture(path, "jpeg" if suffix == "jpg" else "png"), 270, 480)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8\xff", b"#EXTM3U\nfile:///etc/passwd\n", b"%!PS", b"<svg/>", os.urandom(999)]
)
def test_a_file_that_is_not_a_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    for kind in ("jpeg", "png"):
        with pytest.raises(InvalidImage, match="cannot be read"):
            open_picture(tmp_path / "x.jpg", kind)


def test_a_picture_is_rotated_by_its_exif_orientation(tmp_path: Path) -> None:
    image = Image.new("RGB", (60, 40), "red")
    image.paste("blue", (0, 0, 30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the left side is the top
    image.save(tmp_path / "turned.png", exif=exif)
    frame = fit_picture(open_picture(tmp_path / "turned.png", "png"), 40, 60)
    assert frame.getpixel((20, 5)) == (0, 0, 255)
    assert frame.getpixel((20, 55)) == (255, 0, 0)


def test_transparency_is_blended_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert fit_picture(open_picture(tmp_path / "clear.png", "png"), 40, 40).getpixel((20, 20)) == (255, 255, 255)


def test_sixteen_bit_palette_and_cmyk_pictures_keep_their_brightness(tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 40), 0x8000, np.uint16)).save(tmp_path / "deep.png")
    Image.new("RGB", (40, 40), (200, 100, 50)).quantize(4).save(tmp_path / "palette.png")
    Image.new("CMYK", (40, 40), (0, 255, 255, 0)).save(tmp_path / "print.jpg")
    assert fit_picture(open_picture(tmp_path / "deep.png", "png"), 40, 40).getpixel((9, 9)) == (128, 128, 128)
    assert fit_picture(open_picture(tmp_path / "palette.png", "png"), 40, 40).getpixel((9, 9)) == (200, 100, 50)
    red = fit_picture(open_picture(tmp_path / "print.jpg", "jpeg"), 40, 40).getpixel((9, 9))
    assert isinstance(red, tuple)
    assert red[0] > 220
    assert red[1] < 60


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 5000), (5000, 1), (3, 2)])
def test_pictures_of_any_shape_fit(tmp_path: Path, width: int, height: int) -> None:
    Image.new("RGB", (width, height), "teal").save(tmp_path / "odd.png")
    assert fit_picture(open_picture(tmp_path / "odd.png", "png"), 270, 480).size == (270, 480)


# --- sound ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["wav", "mp3", "flac"])
def test_a_song_is_as_long_as_its_samples(tmp_path: Path, suffix: str) -> None:
    sound = measure(song(tmp_path, suffix), suffix)
    assert sound.seconds == pytest.approx(10.0, abs=0.03)


@pytest.mark.parametrize("suffix", ["wav", "mp3", "flac"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_song_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = song(tmp_path, suffix)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InvalidAudio, match=r"truncated|damaged|cannot be decoded"):
        measure(path, suffix)


def test_an_mp3_without_a_count_is_refused_when_its_last_frame_is_cut(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "a.wav", 3)
    ffmpeg("-i", str(source), "-write_xing", "0", "-id3v2_version", "0", "-b:a", "128k", str(tmp_path / "a.mp3"))
    assert measure(tmp_path / "a.mp3", "mp3").seconds == pytest.approx(3, abs=0.1)
    data = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "cut.mp3").write_bytes(data[: len(data) // 2 + 33])
    with pytest.raises(InvalidAudio, match="truncated"):
        measure(tmp_path / "cut.mp3", "mp3")
    (tmp_path / "tagged.mp3").write_bytes(data + b"TAG" + bytes(125))
    assert measure(tmp_path / "tagged.mp3", "mp3").seconds == pytest.approx(3, abs=0.1)


def test_audio_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidAudio, match="the audio is empty"):
        measure(write_wav(tmp_path / "empty.wav", 0), "wav")


@pytest.mark.parametrize("kind", ["mp3", "wav", "flac"])
@pytest.mark.parametrize("content", [b"", b"ID3", b"RIFF\0\0\0\0WAVE", b"fLaC", os.urandom(5000), bytes(5000)])
def test_a_file_that_is_not_audio_is_refused(tmp_path: Path, kind: str, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InvalidAudio):
        measure(tmp_path / "x", kind)


def test_a_song_whose_header_names_no_codec_is_refused(tmp_path: Path) -> None:
    source = bytearray(song(tmp_path, "wav", 0.5).read_bytes())
    source[34:36] = b"\0\0"  # bits in a sample
    (tmp_path / "odd.wav").write_bytes(source)
    with pytest.raises(InvalidAudio, match="Audio must be MP3, WAV, or FLAC"):
        measure(tmp_path / "odd.wav", "wav")


@pytest.mark.parametrize("kind", ["mp3", "wav", "flac"])
def test_a_playlist_in_disguise_opens_no_other_file(tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret.ts"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=2", "-c:a", "aac", "-f", "mpegts", str(secret))
    playlist = tmp_path / f"song.{kind}"
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile secret.ts\n",
    ):
        playlist.write_text(text)
        with pytest.raises(InvalidAudio):
            measure(playlist, kind)
        assert start_aac(_ffmpeg(), playlist, kind, tmp_path / "out.aac").wait() != 0
        assert not (tmp_path / "out.aac").exists() or (tmp_path / "out.aac").stat().st_size == 0


@pytest.mark.parametrize("suffix", ["wav", "mp3", "flac"])
def test_a_song_cut_inside_its_header_is_refused(tmp_path: Path, suffix: str) -> None:
    data = song(tmp_path, suffix, 1).read_bytes()
    for length in range(4, 200, 7):
        (tmp_path / "cut").write_bytes(data[:length])
        with pytest.raises(InvalidAudio):
            measure(tmp_path / "cut", suffix)


def test_a_damaged_flac_is_refused(tmp_path: Path) -> None:
    path = song(tmp_path, "flac")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
    path.write_bytes(data)
    with pytest.raises(InvalidAudio):
        measure(path, "flac")


# --- the child ------------------------------------------------------------------------------------------------------


def test_errors_of_the_child_are_raised_unchanged(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png(40_000, 40_000))
    audio = write_wav(tmp_path / "a.wav", 1)
    (tmp_path / "job").mkdir()
    with pytest.raises(InvalidImage, match="megapixels") as caught:
        render_reel(
            reel_data("x"), input_file(tmp_path / "bomb.png", "image"), input_file(audio, "audio"), tmp_path / "job"
        )
    assert caught.value.field == "data.image"


def test_a_huge_picture_ends_as_out_of_memory_within_the_bound(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(png(9_900, 9_900, bytes(9_901 * 9_900)))
    (tmp_path / "job").mkdir()
    with pytest.raises(OutOfMemory):
        render_reel(
            reel_data("x"),
            as_input(tmp_path / "large.png", "png"),
            as_input(write_wav(tmp_path / "a.wav", 1), "wav"),
            tmp_path / "job",
            bounds=Bounds(memory_bytes=600 * 1024**2),
        )


def test_a_slow_render_is_ended_with_all_its_processes(tmp_path: Path) -> None:
    image, audio = write_photo(tmp_path / "p.jpg"), write_wav(tmp_path / "a.wav", 60)
    (tmp_path / "job").mkdir()
    data = reel_data("x", width=1080, height=1920)
    with pytest.raises(RenderTimeout):
        render_reel(
            data,
            as_input(image, "jpeg"),
            as_input(audio, "wav"),
            tmp_path / "job",
            bounds=Bounds(wall_seconds=1),
            encoder="plain",
        )
    wait_until(lambda: processes_naming(str(tmp_path)) == [], timeout=30)


def test_an_exception_from_progress_ends_the_child(tmp_path: Path) -> None:
    class CancelledError(Exception):
        pass

    def cancel(_: float) -> None:
        raise CancelledError

    image, audio = write_photo(tmp_path / "p.jpg"), write_wav(tmp_path / "a.wav", 60)
    (tmp_path / "job").mkdir()
    with pytest.raises(CancelledError):
        render_reel(reel_data("x"), as_input(image, "jpeg"), as_input(audio, "wav"), tmp_path / "job", cancel)
    wait_until(lambda: processes_naming(str(tmp_path)) == [], timeout=30)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import os; os.kill(os.getpid(), 11)", RenderFailed),
        ("import os; os.kill(os.getpid(), 9)", OutOfMemory),
        ("import os; os.kill(os.getpid(), 24)", RenderTimeout),
        ("raise SystemExit(3)", RenderFailed),
        ("raise MemoryError", OutOfMemory),
    ],
)
def test_a_child_that_dies_is_reported_by_its_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, error: type[Exception]
) -> None:
    (tmp_path / "doomed.py").write_text(code)
    monkeypatch.setattr(process, "_ROOT", str(tmp_path))
    monkeypatch.setattr(process, "_MODULE", "doomed")
    with pytest.raises(error):
        run_child(Task.PROBE, {}, tmp_path)


def test_the_child_gets_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    (tmp_path / "nosy.py").write_text("import json, os; print(json.dumps({'result': dict(os.environ)}))")
    monkeypatch.setattr(process, "_ROOT", str(tmp_path))
    monkeypatch.setattr(process, "_MODULE", "nosy")
    assert "canary-secret" not in run_child(Task.PROBE, {}, tmp_path).values()


def test_the_child_loads_no_heavy_modules() -> None:
    heavy = ("cv2", "torch", "pydantic", "imageio_ffmpeg", "av")
    code = f"import sys, pipelines.media.reel_film; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "['av']\n"
