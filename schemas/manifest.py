"""``manifest.json``: what a job produced, from which request, and how to verify the files."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.callback import Cost
from schemas.media import MediaFacts

MANIFEST_VERSION = 1


class ManifestArtifact(BaseModel):
    """One file of the result, with its size and checksum."""

    model_config = ConfigDict(extra="forbid")

    name: str
    uri: str
    bytes: int
    sha256: str
    content_type: str
    facts: MediaFacts


class ManifestStep(BaseModel):
    """One step of the job and the time it took."""

    model_config = ConfigDict(extra="forbid")

    name: str
    seconds: float


class Manifest(BaseModel):
    """The complete result. It is written last: if it exists, every file that it names exists."""

    model_config = ConfigDict(extra="forbid")

    version: int = MANIFEST_VERSION
    job_id: str
    type: str
    fingerprint: str = Field(description="SHA-256 of the request's canonical JSON.")
    artifacts: list[ManifestArtifact]
    provider: str = "local"
    model: str
    model_version: str
    seed: int | None = None
    prompt: str | None = None
    steps: list[ManifestStep]
    cost: Cost = Cost()
    details: dict[str, Any] = {}
    completed_at: AwareDatetime
