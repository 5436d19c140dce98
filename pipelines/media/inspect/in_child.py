"""Inspect and decode media in a child process: the parent's side, which loads no decoder."""

from __future__ import annotations

import tempfile
from pathlib import Path

import imageio_ffmpeg
from pydantic import ValidationError

from pipelines.media.sandbox.process import DEFAULT_BOUNDS, Bounds, Task, run_child
from schemas.errors import RenderFailed
from schemas.media import InputFile, MediaFacts


def probe(path: Path, kind: str, folder: Path, bounds: Bounds = DEFAULT_BOUNDS) -> MediaFacts:
    """Return the facts of a finished video or picture; every frame of a video is decoded and counted.

    Args:
        path: The file.
        kind: Its kind, as ``sniff`` returned it.
        folder: A folder for the child's own files.
        bounds: The child's limits.

    Raises:
        ProviderResultInvalid: The file cannot be decoded to its end, or contains no picture.
        RenderTimeout: Decoding took longer than the bounds allow.
        OutOfMemory: Decoding needed more memory than the bounds allow.
        RenderFailed: The inspection itself failed.
    """
    arguments = {"path": str(path.resolve()), "kind": kind}
    facts = run_child(Task.PROBE, arguments, folder, bounds)
    try:
        return MediaFacts.model_validate(facts)
    except ValidationError as error:
        raise RenderFailed(f"the inspection returned facts that are not valid: {error}") from None


def seconds_of(audio: InputFile, bounds: Bounds = DEFAULT_BOUNDS) -> float:
    """Return the length of an audio input in seconds, measured by decoding all of it.

    Raises:
        InvalidAudio: The audio cannot be decoded to its end.
    """
    with tempfile.TemporaryDirectory(prefix="sound-", dir=audio.path.parent) as folder:
        arguments = {"path": str(audio.path.resolve()), "kind": audio.kind}
        measured = run_child(Task.MEASURE, arguments, Path(folder), bounds)
    return float(measured["duration_seconds"])


def spread_in_child(lyrics: str, audio: InputFile, seconds: float, bounds: Bounds) -> list[tuple[float, float]]:
    """Return start and end in seconds of every word of ``lyrics``, spread over ``seconds`` of audio."""
    with tempfile.TemporaryDirectory(prefix="spread-", dir=audio.path.parent) as folder:
        arguments = {
            "audio": str(audio.path.resolve()),
            "audio_kind": audio.kind,
            "lyrics": lyrics,
            "seconds": seconds,
        }
        found = run_child(Task.SPREAD, arguments, Path(folder), bounds)
    return [(start, end) for start, end in found["times"]]


def decode_in_child(image: InputFile, folder: Path, bounds: Bounds) -> Path:
    """Decode an image and write it as ``picture.png`` into ``folder``, upright and in RGB; return its path.

    Raises:
        InvalidImage: The image is damaged, or has too many pixels.
    """
    target = folder / "picture.png"
    arguments = {"path": str(image.path.resolve()), "kind": image.kind, "target": str(target.resolve())}
    run_child(Task.DECODE, arguments, folder, bounds)
    return target


def encode_in_child(audio: InputFile, folder: Path, seconds: float, bounds: Bounds) -> tuple[Path, float]:
    """Encode at most ``seconds`` of an audio input to AAC in ``folder``; return the file's path and its length.

    Raises:
        InvalidAudio: The audio cannot be decoded to its end.
    """
    target = folder / "sound.aac"
    arguments = {
        "path": str(audio.path.resolve()),
        "kind": audio.kind,
        "target": str(target.resolve()),
        "seconds": seconds,
        "ffmpeg": str(imageio_ffmpeg.get_ffmpeg_exe()),
    }
    return target, float(run_child(Task.SOUND, arguments, folder, bounds)["seconds"])
