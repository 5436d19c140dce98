"""Media facts and the files that a pipeline reads and makes. Frozen records without behaviour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict


class MediaFacts(BaseModel):
    """Properties of a media file, as measured by a probe. Fields that do not apply are ``None``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Width and height in pixels.
    width: int | None = None
    height: int | None = None
    #: Length of the longest stream, in seconds.
    duration_seconds: float | None = None
    #: Frames per second; constant throughout the file.
    fps: float | None = None
    #: Number of video frames, counted, not estimated.
    frames: int | None = None
    video_codec: str | None = None
    audio_codec: str | None = None


class InputFile(BaseModel):
    """One input, downloaded completely. Its kind is determined by its content, not by its name."""

    model_config = ConfigDict(frozen=True)

    #: The field of ``data`` that names the file.
    name: str
    uri: str
    #: The file may be missing when a job continues after a provider call and the input has been deleted since.
    path: Path
    #: One of ``jpeg``, ``png``, ``mp3``, ``wav``, ``flac``, ….
    kind: str
    bytes: int
    sha256: str
    #: Length recorded by an earlier provider call, because the file may have been deleted since.
    seconds: float | None = None
    #: Whether a provider can read the file by URL. Otherwise only this machine can.
    has_url: bool = True


class LocalFile(BaseModel):
    """One result of a step, on this machine. Storing it gives a ``StoredArtifact``."""

    model_config = ConfigDict(frozen=True)

    #: The file's name in the results, such as ``video.mp4``.
    name: str
    content_type: str
    facts: MediaFacts = MediaFacts()
    path: Path
    #: How it was made (model, seed, …), for the manifest. Recorded with the step.
    details: dict[str, Any] = {}
    #: Whether the callback should contain the file itself, if it is small.
    inline: bool = False


class StoredArtifact(BaseModel):
    """One result in storage. Steps and provider calls record it as JSON in the ledger."""

    model_config = ConfigDict(frozen=True)

    #: The file's name in the results, such as ``video.mp4``.
    name: str
    content_type: str
    facts: MediaFacts = MediaFacts()
    uri: str
    sha256: str
    bytes: int
    #: How it was made (model, seed, …), for the manifest.
    details: dict[str, Any] = {}
    #: Whether the callback should contain the file itself, if it is small.
    inline: bool = False


class Plan(BaseModel):
    """What a job would produce and cost, calculated without running it."""

    model_config = ConfigDict(frozen=True)

    frames: int | None = None
    duration_seconds: float | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    estimated_seconds: float
    cost: dict[str, str] = {"amount": "0.00", "currency": "USD"}
    details: dict[str, Any] = {}
