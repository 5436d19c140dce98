"""A description becomes a video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.context import Context, ModelCall, OutputSpec
from pipelines.models.estimates import Estimate, estimate
from pipelines.models.local_film import filmed, planned_here
from pipelines.models.matching import fitting
from pipelines.models.routing import LOCAL, made_somewhere
from schemas.errors import ProviderResultInvalid
from schemas.generation import Generation
from schemas.media import Artifact, InputFile, Plan
from schemas.text_to_video import TextToVideo

TYPE = "text-to-video"
#: What a model of ours may answer: players and browsers know it.
VIDEO = OutputSpec("video.mp4", ("mp4",))


def text_to_video(data: TextToVideo, ctx: Context) -> Sequence[Artifact]:
    """``video.mp4``."""
    ctx.annotate(prompt=data.prompt)
    return [film(ctx, "generate", data, data.given(), TYPE)]


def plan(data: TextToVideo, ctx: Context) -> Plan:
    """What ``text_to_video`` would make and cost, of the first model that takes the parameters."""
    return planned(TYPE, data, data.given(), ctx)


def film(
    ctx: Context,
    step: str,
    data: Generation,
    parameters: Mapping[str, Any],
    job_type: str,
    inputs: Mapping[str, InputFile] | None = None,
) -> Artifact:
    """The film that the first model of ``data`` makes which can be had, here or at a provider.

    Raises:
        ProviderError, RenderError: none delivered.
    """

    def remote(name: str, models: Sequence[str]) -> Artifact:
        made = ctx.call(name, ModelCall(models, parameters, inputs or {}, VIDEO))
        if made.artifact is None:
            raise ProviderResultInvalid(f"{made.model} answered without a video", step=name)
        return made.artifact

    made = made_somewhere(
        ctx,
        step,
        data,
        parameters,
        job_type,
        remote=remote,
        here=lambda name, model, values: filmed(ctx, name, model, values, job_type, (inputs or {}).get("image")),
    )
    ctx.annotate(**made.details)
    return made


def planned(
    job_type: str, data: Generation, parameters: Mapping[str, Any], ctx: Context, before: Estimate | None = None
) -> Plan:
    """The plan of one film; ``before`` is what is paid for on the way to it."""
    model, values = fitting(data.models, parameters, job_type, ctx.catalogue, data.place)[0]
    asked = estimate(model, values) + (before or Estimate())
    if model.provider == LOCAL:
        return planned_here(model, values, before or Estimate())
    length = values.get("duration", values.get("audio_duration"))
    return Plan(
        duration_seconds=float(length) if isinstance(length, int | float) else None,
        estimated_seconds=asked.seconds,
        cost=asked.cost,
        details={"model": model.id, "provider": model.provider, "parameters": values},
    )
