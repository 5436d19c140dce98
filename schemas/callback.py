"""Body of a callback in the ``standard`` format."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

EventType = Literal["job.started", "job.progress", "job.completed", "job.failed"]
Status = Literal["received", "running", "waiting", "storing", "completed", "failed", "cancelled", "expired"]


class Output(BaseModel):
    """One file of a job's result."""

    model_config = ConfigDict(extra="forbid")

    name: str
    uri: str
    url: str | None = Field(None, description="Presigned download URL. Treat it as a secret until it expires.")
    sha256: str
    bytes: int
    content_type: str
    base64: str | None = Field(
        None, description="The file's content, if the request asked for it and the file is small."
    )
    base64_omitted: str | None = Field(None, description="Why `base64` is absent although the request asked for it.")
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    fps: float | None = None
    frames: int | None = None


class FieldFailure(BaseModel):
    """What is wrong with one field of a refused request."""

    model_config = ConfigDict(extra="forbid")

    path: str
    message: str


class Failure(BaseModel):
    """Why a job did not complete."""

    model_config = ConfigDict(extra="forbid")

    code: str
    message: str
    retryable: bool
    step: str | None = None
    field: str | None = None
    fields: list[FieldFailure] | None = Field(
        None, description="All invalid fields of a refused request, at most ten, if there are several."
    )


class Cost(BaseModel):
    """What the job cost. The amount is absent if the price of a call is unknown."""

    model_config = ConfigDict(extra="forbid")

    amount: str | None = Field("0.00", pattern=r"^\d+\.\d{2,}$")
    currency: str = "USD"


class CallbackData(BaseModel):
    """Current state of the job."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = Field(None, description="Absent if the request was not accepted and had no readable id.")
    type: str | None = None
    status: Status
    progress_percentage: int = Field(0, ge=0, le=100)
    outputs: list[Output] | None = None
    plan: dict[str, Any] | None = None
    error: Failure | None = None
    provider: str | None = None
    model: str | None = None
    cost: Cost | None = None
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    processing_time_seconds: float | None = None
    metadata: dict[str, Any] | None = None
    retry: int | None = Field(None, ge=1, description="How often the job was retried; absent for its first run.")


class Callback(BaseModel):
    """Body of one signed POST. Its ``webhook-id`` header is the same for every delivery attempt."""

    model_config = ConfigDict(extra="forbid")

    type: EventType
    timestamp: AwareDatetime
    data: CallbackData
