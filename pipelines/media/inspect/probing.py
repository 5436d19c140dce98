"""Probe a file by decoding all of it in a child process."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipelines.media.sandbox.process import DEFAULT_BOUNDS, Bounds, run_child
from schemas.media import InputFile, MediaFacts


def probe(path: Path, kind: str, folder: Path, bounds: Bounds = DEFAULT_BOUNDS) -> MediaFacts:
    """Return the facts of a finished video or picture; ``kind`` is the result of ``sniff``.

    Every frame of a video is decoded and counted. ``folder`` is for the child's own files.

    Raises:
        ProviderResultInvalid: it cannot be decoded to its end, or holds no picture.
        RenderTimeout: decoding took longer than the bounds allow.
        OutOfMemory: decoding needed more memory than the bounds allow.
    """
    return MediaFacts.model_validate(
        run_child({"do": "probe", "path": str(path.resolve()), "kind": kind}, folder, bounds)
    )


def seconds_of(audio: InputFile, bounds: Bounds = DEFAULT_BOUNDS) -> float:
    """Return the length of an input in seconds, counted while decoding it.

    Raises:
        InvalidAudio: it cannot be decoded to its end.
    """
    with tempfile.TemporaryDirectory(prefix="telecine-sound-") as folder:
        task = {"do": "measure", "path": str(audio.path.resolve()), "kind": audio.kind}
        facts = run_child(task, Path(folder), bounds)
    return float(facts["duration_seconds"])
