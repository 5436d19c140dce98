"""A job type for tests: `ask` calls a remote model and stores its answer as `answer.txt`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipelines.context import Context, ModelCall, OutputSpec, Progress
from pipelines.registry import PIPELINES, Pipeline
from providers.catalogue import Catalogue, Model, Parameter
from schemas.job_types import JOB_TYPES
from schemas.media import LocalFile, Plan, StoredArtifact


class Ask(BaseModel):
    """``data`` of an ``ask``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...] = ("first",)
    length: int | None = None
    #: URI of an image to send.
    image: str | None = None
    #: Whether to ask for a video instead of text.
    film: bool = False


def ask(data: Ask, ctx: Context) -> Sequence[StoredArtifact]:
    """Call the model and store its answer."""
    parameters: dict[str, Any] = {} if data.length is None else {"length": data.length}
    inputs = {}
    if data.image is not None:
        inputs["image"] = ctx.input("image", data.image, kinds=("png",), limit_bytes=1_000_000)
    output = OutputSpec("film.mp4", ("mp4",)) if data.film else None
    made = ctx.call("think", ModelCall(data.models, parameters, inputs, output))
    if made.artifact is not None:
        return [made.artifact]

    def write(folder: Path, progress: Progress) -> Sequence[LocalFile]:
        path = folder / "answer.txt"
        path.write_text(str(made.value))
        return [LocalFile(name="answer.txt", content_type="text/plain", path=path)]

    return ctx.step("write", write)


def plan(data: Ask, ctx: Context) -> Plan:
    """Return an empty plan."""
    return Plan(estimated_seconds=0.0)


def models(**changes: Any) -> Catalogue:
    """Return a catalogue of two models of two providers, each $0.10 a call."""
    quick = {"types": ("ask",), "price": "0.10", "first_wait_seconds": 0.0, "poll_seconds": 0.05, **changes}
    length = Parameter(kind="integer", minimum=1, maximum=10, default=5)
    return Catalogue(
        [
            Model(id="first", provider="alpha", parameters={"length": length}, **quick),
            Model(id="second", provider="beta", parameters={"length": length}, **quick),
        ]
    )


JOB_TYPES["ask"] = Ask
PIPELINES["ask"] = Pipeline(run=ask, plan=plan, role="io")
