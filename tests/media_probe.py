"""Make and inspect media for tests, with other tools than the renderer where possible."""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import subprocess
import wave
from collections.abc import Iterator
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from schemas.media import InputFile
from schemas.reel import Reel

Pixels = NDArray[np.uint8]
KINDS = {".jpg": "jpeg", ".png": "png", ".wav": "wav", ".mp3": "mp3", ".flac": "flac"}


def ffmpeg(*arguments: str) -> str:
    """Run ffmpeg and return its standard output.

    Raises:
        CalledProcessError: ffmpeg failed; the error has its message.
    """
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def input_file(path: Path, name: str) -> InputFile:
    """Return ``path`` as the input that a pipeline gets from the consumer; the kind is taken from the suffix."""
    data = path.read_bytes()
    return InputFile(
        name=name,
        uri=f"s3://bucket/{path.name}",
        path=path,
        kind=KINDS[path.suffix],
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def reel_data(lyrics: str, **options: object) -> Reel:
    """Return a reel request's data in mode ``even`` at 270 x 480 pixels; ``options`` override fields."""
    small = {"width": 270, "height": 480, "font_size": 80, "alignment_mode": "even", **options}
    return Reel.model_validate({"image": "s3://bucket/a.jpg", "audio": "s3://bucket/a.wav", "lyrics": lyrics, **small})


def write_photo(path: Path, width: int = 540, height: int = 960) -> Path:
    """Write a picture with gradients and noise like a photograph; return its path."""
    noise = np.random.default_rng(7).integers(0, 24, (height, width, 3))
    y, x = np.mgrid[0:height, 0:width]
    ramp = np.stack([60 + 100 * x / width, 70 + 80 * y / height, 120 + 60 * (x + y) / (width + height)], 2)
    Image.fromarray((ramp + noise).astype(np.uint8)).save(path, quality=92)
    return path


def write_wav(path: Path, seconds: float, rate: int = 44_100, *, clicks: bool = False) -> Path:
    """Write a stereo WAV file with a soft tone, or one click at each whole second; return its path."""
    count = round(seconds * rate)
    time = np.arange(count) / rate
    sound = 0.2 * np.sin(2 * np.pi * 330 * time)
    if clicks:
        sound[:] = 0
        for second in range(int(seconds)):
            sound[second * rate : second * rate + 60] = 0.9 * np.hanning(60)[: count - second * rate]
    samples = np.repeat((sound * 32000).astype("<i2"), 2)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def frames_of(path: Path) -> Iterator[tuple[float, bool, Pixels]]:
    """Yield, for every frame, its time in seconds, whether it is a key frame, and its RGB pixels."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert frame.time is not None
            yield frame.time, frame.key_frame, frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def planes_digest(path: Path) -> list[str]:
    """Return a digest of the decoded planes of each frame."""
    with av.open(str(path)) as container:
        return [hashlib.md5(frame.to_ndarray().tobytes()).hexdigest() for frame in container.decode(video=0)]


def sound_of(path: Path) -> tuple[NDArray[np.float32], int]:
    """Return the samples of the first channel, float32, and the sample rate in hertz."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        parts = [frame.to_ndarray()[0] for frame in container.decode(stream)]
        return np.concatenate(parts), stream.rate


def processes_naming(text: str) -> list[str]:
    """Return the command lines of other running processes whose command line or folder contains ``text``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                where = str((entry / "cwd").readlink())
                if text in line or text in where:
                    found.append(line)
    return found


def boxes(data: bytes, start: int = 0, end: int | None = None) -> list[str]:
    """Return the names of an MP4 file's boxes in order; nested ones as paths, such as ``moov/trak``."""
    found = []
    end = len(data) if end is None else end
    while start + 8 <= end:
        length, raw = struct.unpack_from(">I4s", data, start)
        header = 8
        if length == 1:
            length, header = struct.unpack_from(">Q", data, start + 8)[0], 16
        name = raw.decode("latin-1")
        found.append(name)
        if name in ("moov", "trak", "mdia", "minf", "stbl", "edts"):
            found += [f"{name}/{inner}" for inner in boxes(data, start + header, start + length)]
        start += length
    return found
