"""Facts about media, and the files that a pipeline makes. Frozen records, no behaviour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict


class MediaFacts(BaseModel):
    """What a probe found out about one file. Fields that do not apply are ``None``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Width and height in pixels.
    width: int | None = None
    height: int | None = None
    #: Length in seconds, of the longest stream.
    duration_seconds: float | None = None
    #: Frames per second; constant over the file.
    fps: float | None = None
    #: Number of video frames, counted, not estimated.
    frames: int | None = None
    video_codec: str | None = None
    audio_codec: str | None = None


class InputFile(BaseModel):
    """One input, fetched and whole on the local disk, its kind decided by its content."""

    model_config = ConfigDict(frozen=True)

    #: The field of ``data`` that named it.
    name: str
    uri: str
    #: There is no file when a job runs on after a call and the input is gone by then.
    path: Path
    #: One of ``jpeg``, ``png``, ``mp3``, ``wav``, ``flac``, ….
    kind: str
    bytes: int
    sha256: str
    #: Its length, where that is known from a call: the file may be gone.
    seconds: float | None = None


class Artifact(BaseModel):
    """One file that a pipeline made, before or after it was stored.

    ``name`` is the file's name in the results (``video.mp4``). ``path`` is set while the file is on
    this machine, ``uri`` and ``sha256`` once it is in storage.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    content_type: str
    facts: MediaFacts = MediaFacts()
    path: Path | None = None
    uri: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    #: How it was made, for the manifest: model, seed, …; remembered with the step.
    details: dict[str, Any] = {}
    #: Whether the callback is to carry the file itself, if it is small.
    inline: bool = False


class Plan(BaseModel):
    """What a job would make and cost, found out without making it."""

    model_config = ConfigDict(frozen=True)

    frames: int | None = None
    duration_seconds: float | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    estimated_seconds: float
    cost: dict[str, str] = {"amount": "0.00", "currency": "USD"}
    details: dict[str, Any] = {}
