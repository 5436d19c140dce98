"""Callbacks and manifests.

Written by ops/clients/generate.py from docs/contract. Change the models, then run it.
"""

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict


class GameCallbackDataOutput(TypedDict):
    title: str
    type: Literal["MEDIA"]
    category: Literal["MARKETING_VIDEO"]
    url: str
    """Presigned URL; keep it secret until it expires."""


class GameCallbackData(TypedDict):
    addToInventory: bool
    """Whether there is an output."""
    status: Literal["COMPLETED", "FAILED"]
    output: GameCallbackDataOutput | None


class GameCallback(TypedDict):
    """One POST to `{url}/{id}/callback` with the header `x-api-key`. It is not signed."""

    data: GameCallbackData


class MediaFacts(TypedDict):
    """Properties of a media file, as measured by a probe. Fields that do not apply are ``None``."""

    width: NotRequired[int | None]
    height: NotRequired[int | None]
    duration_seconds: NotRequired[float | None]
    fps: NotRequired[float | None]
    frames: NotRequired[int | None]
    video_codec: NotRequired[str | None]
    audio_codec: NotRequired[str | None]


class ManifestArtifact(TypedDict):
    """One file of the result, with its size and checksum."""

    name: str
    uri: str
    bytes: int
    sha256: str
    content_type: str
    facts: MediaFacts


class ManifestStep(TypedDict):
    """One step of the job and the time it took."""

    name: str
    seconds: float


class Cost(TypedDict):
    """What the job cost. The amount is absent if the price of a call is unknown."""

    amount: NotRequired[str | None]
    """Default "0.00"."""
    currency: NotRequired[str]
    """Default "USD"."""


class Manifest(TypedDict):
    """The complete result. It is written last: if it exists, every file that it names exists."""

    version: NotRequired[int]
    """Default 1."""
    job_id: str
    type: str
    fingerprint: str
    """SHA-256 of the request's canonical JSON."""
    artifacts: list[ManifestArtifact]
    provider: NotRequired[str]
    """Default "local"."""
    model: str
    model_version: str
    seed: NotRequired[int | None]
    prompt: NotRequired[str | None]
    steps: list[ManifestStep]
    cost: NotRequired[Cost]
    """Default {"amount": "0.00", "currency": "USD"}."""
    details: NotRequired[dict[str, Any]]
    completed_at: str


class Output(TypedDict):
    """One file of a job's result."""

    name: str
    uri: str
    url: NotRequired[str | None]
    """Presigned download URL. Treat it as a secret until it expires."""
    sha256: str
    bytes: int
    content_type: str
    base64: NotRequired[str | None]
    """The file's content, if the request asked for it and the file is small."""
    base64_omitted: NotRequired[str | None]
    """Why `base64` is absent although the request asked for it."""
    width: NotRequired[int | None]
    height: NotRequired[int | None]
    duration_seconds: NotRequired[float | None]
    fps: NotRequired[float | None]
    frames: NotRequired[int | None]


class FieldFailure(TypedDict):
    """What is wrong with one field of a refused request."""

    path: str
    message: str


class Failure(TypedDict):
    """Why a job did not complete."""

    code: str
    message: str
    retryable: bool
    step: NotRequired[str | None]
    field: NotRequired[str | None]
    fields: NotRequired[list[FieldFailure] | None]
    """All invalid fields of a refused request, at most ten, if there are several."""


class JobStartedData(TypedDict):
    """The current state of the job."""

    id: str
    type: str
    status: Literal["running"]
    progress_percentage: NotRequired[int]
    """0 to 100; default 0."""
    outputs: NotRequired[list[Output] | None]
    plan: NotRequired[dict[str, Any] | None]
    error: NotRequired[Failure | None]
    provider: NotRequired[str | None]
    model: NotRequired[str | None]
    cost: NotRequired[Cost | None]
    created_at: str
    started_at: NotRequired[str | None]
    processing_time_seconds: NotRequired[float | None]
    metadata: NotRequired[dict[str, Any] | None]
    retry: NotRequired[int | None]
    """How often the job was retried; absent for its first run. At least 1."""


class JobStarted(TypedDict):
    """A worker claimed the job for the first time."""

    type: Literal["job.started"]
    timestamp: str
    data: JobStartedData


class JobProgressData(TypedDict):
    """The current state of the job."""

    id: str
    type: str
    status: Literal["running"]
    progress_percentage: NotRequired[int]
    """0 to 100; default 0."""
    outputs: NotRequired[list[Output] | None]
    plan: NotRequired[dict[str, Any] | None]
    error: NotRequired[Failure | None]
    provider: NotRequired[str | None]
    model: NotRequired[str | None]
    cost: NotRequired[Cost | None]
    created_at: str
    started_at: NotRequired[str | None]
    processing_time_seconds: NotRequired[float | None]
    metadata: NotRequired[dict[str, Any] | None]
    retry: NotRequired[int | None]
    """How often the job was retried; absent for its first run. At least 1."""


class JobProgress(TypedDict):
    """The progress passed another multiple of ten. Delivery is attempted once and not retried."""

    type: Literal["job.progress"]
    timestamp: str
    data: JobProgressData


class JobCompletedData(TypedDict):
    """The current state of the job."""

    id: str
    type: str
    status: Literal["completed"]
    progress_percentage: NotRequired[int]
    """0 to 100; default 0."""
    outputs: NotRequired[list[Output] | None]
    plan: NotRequired[dict[str, Any] | None]
    error: NotRequired[Failure | None]
    provider: NotRequired[str | None]
    model: NotRequired[str | None]
    cost: NotRequired[Cost | None]
    created_at: str
    started_at: NotRequired[str | None]
    processing_time_seconds: NotRequired[float | None]
    metadata: NotRequired[dict[str, Any] | None]
    retry: NotRequired[int | None]
    """How often the job was retried; absent for its first run. At least 1."""


class JobCompleted(TypedDict):
    """Every file and the manifest are in storage; for `plan_only`, the estimate is complete."""

    type: Literal["job.completed"]
    timestamp: str
    data: JobCompletedData


class JobFailedData(TypedDict):
    """The current state of the job."""

    id: NotRequired[str | None]
    """Absent if the request was not accepted and had no readable id."""
    type: NotRequired[str | None]
    status: Literal["failed", "cancelled", "expired"]
    progress_percentage: NotRequired[int]
    """0 to 100; default 0."""
    outputs: NotRequired[list[Output] | None]
    plan: NotRequired[dict[str, Any] | None]
    error: Failure
    provider: NotRequired[str | None]
    model: NotRequired[str | None]
    cost: NotRequired[Cost | None]
    created_at: str
    started_at: NotRequired[str | None]
    processing_time_seconds: NotRequired[float | None]
    metadata: NotRequired[dict[str, Any] | None]
    retry: NotRequired[int | None]
    """How often the job was retried; absent for its first run. At least 1."""


class JobFailed(TypedDict):
    """The job failed, expired or was cancelled, or its request was refused and never became a job."""

    type: Literal["job.failed"]
    timestamp: str
    data: JobFailedData


Callback: TypeAlias = JobStarted | JobProgress | JobCompleted | JobFailed
