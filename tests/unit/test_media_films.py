"""Films whose frames all differ are encoded for motion (REEL M9)."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.media.silent_film import write_silent_film
from tests.media_probe import boxes, ffmpeg

WIDTH, HEIGHT, FPS = 384, 256, 24


def moving(count: int, grain: float) -> list[NDArray[np.uint8]]:
    """Return frames of a picture that moves, with slight grain."""
    random = np.random.default_rng(2)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    frames = []
    for step in range(count):
        base = 128 + 60 * np.sin((x + 3 * step) / 17) * np.cos((y - step) / 23) + 40 * ((x - 4 * step) % 97 < 30)
        frame = np.stack([base, base * 0.8 + 20, 200 - base / 2], 2) + random.normal(0, grain, (HEIGHT, WIDTH, 1))
        frames.append(frame.clip(0, 255).astype(np.uint8))
    return frames


def written(path: Path, frames: Sequence[NDArray[np.uint8]]) -> Path:
    shares: list[float] = []
    shots = [(str(index), 1) for index in range(len(frames))]
    count = write_silent_film(path, shots, lambda name: frames[int(name)], fps=FPS, progress=shares.append)
    assert count == len(frames)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    return path


def ssim(film: Path, original: Path) -> float:
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-i",
        str(film),
        "-i",
        str(original),
        "-lavfi",
        "ssim",
        "-f",
        "null",
        "-",
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    return float(re.findall(r"All:([\d.]+)", text)[-1])


@pytest.mark.parametrize("grain", [0, 4])
def test_a_film_is_as_small_and_as_good_as_x264_medium(tmp_path: Path, grain: float) -> None:
    frames = moving(72, grain)
    raw = tmp_path / "raw"
    raw.write_bytes(b"".join(frame.tobytes() for frame in frames))
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS), "-i", str(raw)]
    color = ["-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p", "-colorspace", "bt709"]
    ffmpeg(*source, *color, "-c:v", "ffv1", str(tmp_path / "original.mkv"))
    ffmpeg(*source, *color, "-c:v", "libx264", "-preset", "medium", "-crf", "20", str(tmp_path / "rival.mp4"))
    film = written(tmp_path / "film.mp4", frames)
    assert film.stat().st_size <= 1.05 * (tmp_path / "rival.mp4").stat().st_size
    assert ssim(film, tmp_path / "original.mkv") >= ssim(tmp_path / "rival.mp4", tmp_path / "original.mkv") - 0.002


def test_a_film_begins_at_zero_with_its_index_and_at_a_constant_rate(tmp_path: Path) -> None:
    film = written(tmp_path / "film.mp4", moving(50, 2))
    names = boxes(film.read_bytes())
    assert names.index("moov") < names.index("mdat")
    assert "moov/trak/edts" not in names
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        assert [frame.time for frame in container.decode(video=0)] == pytest.approx([n / FPS for n in range(50)])
        assert stream.codec_context.has_b_frames
        assert stream.codec_context.colorspace == 1
    assert written(tmp_path / "again.mp4", moving(50, 2)).read_bytes() == film.read_bytes()
    assert written(tmp_path / "two.mp4", moving(2, 0)).stat().st_size > 500
