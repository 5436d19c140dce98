"""A job type for tests that asks remote models: `ask` stores what they answered as `answer.txt`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipelines.context import Context, ModelCall, OutputSpec, Progress
from pipelines.registry import PIPELINES, Pipeline
from providers.catalogue import Catalogue, Model, Parameter
from schemas.job_types import JOB_TYPES
from schemas.media import Artifact, Plan


class Ask(BaseModel):
    """``data`` of an ``ask``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...] = ("first",)
    length: int | None = None
    #: A picture that goes along.
    image: str | None = None
    #: Whether a film is wanted, and not a word.
    film: bool = False


def ask(data: Ask, ctx: Context) -> Sequence[Artifact]:
    """Asks, and stores the answer."""
    parameters: dict[str, Any] = {} if data.length is None else {"length": data.length}
    inputs = {}
    if data.image is not None:
        inputs["image"] = ctx.input("image", data.image, kinds=("png",), limit_bytes=1_000_000)
    output = OutputSpec("film.mp4", ("mp4",)) if data.film else None
    made = ctx.call("think", ModelCall(data.models, parameters, inputs, output))
    if made.artifact is not None:
        return [made.artifact]

    def write(folder: Path, progress: Progress) -> Sequence[Artifact]:
        path = folder / "answer.txt"
        path.write_text(str(made.value))
        return [Artifact(name="answer.txt", content_type="text/plain", path=path)]

    return ctx.step("write", write)


def plan(data: Ask, ctx: Context) -> Plan:
    """Nothing to tell."""
    return Plan(estimated_seconds=0.0)


def models(**changes: Any) -> Catalogue:
    """Two models of two providers, each $0.10 a call."""
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
