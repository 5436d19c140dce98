"""How large films of which every frame differs are, at equal quality: ``python -m tests.bench.films``.

Local models make such films. Each is also written by x264 with preset medium at several qualities; between them, the
size is interpolated that x264 needs for the SSIM of Telecine's file.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from pipelines.media.silent_film import _frame, write_silent_film

WIDTH, HEIGHT, FPS = 768, 512, 24
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
#: The qualities of x264; 20 is the one that Telecine is compared with.
CRF = (17, 20, 23)
#: SSIM that differs by less is equal: with grain, it hardly depends on the size.
_EQUAL = 0.001


def moving(count: int, grain: float) -> NDArray[np.uint8]:
    """Return frames of a picture that moves: shape (count, height, width, 3)."""
    random = np.random.default_rng(2)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    frames = np.empty((count, HEIGHT, WIDTH, 3), np.uint8)
    for step in range(count):
        base = 128 + 60 * np.sin((x + 3 * step) / 17) * np.cos((y - step) / 23) + 40 * ((x - 4 * step) % 97 < 30)
        frame = np.stack([base, base * 0.8 + 20, 200 - base / 2], 2) + random.normal(0, grain, (HEIGHT, WIDTH, 1))
        frames[step] = frame.clip(0, 255)
    return frames


def measure(folder: Path, name: str, frames: NDArray[np.uint8]) -> dict[str, Any]:
    """Return the size and the SSIM of Telecine's film, and how its size compares with x264's."""
    # Both get the same pixels: it is the encoders that are compared.
    (folder / "raw").write_bytes(b"".join(_frame(pixels).to_ndarray().tobytes() for pixels in frames))
    tags = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
    source = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS), "-i", "raw"]
    source += ["-vf", tags]
    _ffmpeg(folder, *source, "-c:v", "ffv1", "original.mkv")
    shots = [(str(index), 1) for index in range(len(frames))]
    write_silent_film(folder / "film.mp4", shots, lambda shot: frames[int(shot)], fps=FPS, progress=lambda share: None)
    rivals = {}
    for crf in CRF:
        path = folder / f"{crf}.mp4"
        _ffmpeg(folder, *source, "-c:v", "libx264", "-preset", "medium", "-crf", str(crf), path.name)
        rivals[crf] = (_ssim(folder, path.name), path.stat().st_size)
    own = (_ssim(folder, "film.mp4"), (folder / "film.mp4").stat().st_size)
    return {
        "film": name,
        "ssim": own[0],
        "bytes": own[1],
        "x264": rivals,
        "bytes_at_equal_ssim": own[1] / _size_at(own[0], rivals),
    }


def _size_at(ssim: float, rivals: dict[int, tuple[float, int]]) -> float:
    """Return the size that x264 needs for ``ssim``: that of crf 20 if it has this SSIM, otherwise interpolated."""
    if abs(rivals[20][0] - ssim) <= _EQUAL:
        return rivals[20][1]
    shares, sizes = zip(*sorted(rivals.values()), strict=True)
    return float(np.exp(np.interp(ssim, shares, np.log(sizes))))


def _ssim(folder: Path, film: str) -> float:
    command = [FFMPEG, "-i", film, "-i", "original.mkv", "-lavfi", "ssim", "-f", "null", "-"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return float(re.findall(r"All:([\d.]+)", done.stderr)[-1])


def _ffmpeg(folder: Path, *arguments: str) -> None:
    subprocess.run([FFMPEG, "-nostdin", "-v", "error", "-y", *arguments], cwd=folder, check=True)


def main() -> None:
    """Measure, print, and write the JSON file."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--frames", type=int, default=96, help="length of the films")
    options.add_argument("--json", type=Path, default=Path("films-bench.json"), help="where the figures go")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cases = (("smooth", 0.0), ("with grain", 4.0))
        figures = [measure(Path(folder), name, moving(given.frames, grain)) for name, grain in cases]
    print("| film | SSIM | kB | x264 medium crf 20: SSIM | kB | bytes at equal SSIM |\n|---|---:|---:|---:|---:|---:|")
    for one in figures:
        ssim, size = one["x264"][20]
        print(
            f"| {one['film']} | {one['ssim']:.4f} | {one['bytes'] / 1e3:,.0f} | {ssim:.4f} | {size / 1e3:,.0f} "
            f"| {one['bytes_at_equal_ssim']:.2f} |"
        )
    given.json.write_text(json.dumps({"figures": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
