"""Videos by one model of the catalogue, local or remote, and their plans."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.context import Context, ModelCall, OutputSpec
from pipelines.models.estimates import Estimate, estimate
from pipelines.models.generate import LocalTask, generate
from pipelines.models.local_film import generate_video_locally, plan_local
from pipelines.models.local_names import LOCAL
from pipelines.models.matching import candidates
from providers.catalogue import billable_seconds
from schemas.errors import ProviderResultInvalid
from schemas.generation import Generation
from schemas.media import InputFile, Plan, StoredArtifact
from schemas.money import cost_text

#: MP4 only: every browser and player opens it.
VIDEO = OutputSpec("video.mp4", ("mp4",))


class VideoOutput:
    """``video.mp4``."""

    def call_remote(self, ctx: Context, step: str, call: ModelCall) -> Sequence[StoredArtifact]:
        """Make the video with remote models.

        Raises:
            ProviderResultInvalid: The model returned no video.
        """
        result = ctx.call(step, dataclasses.replace(call, output=VIDEO))
        if result.artifact is None:
            raise ProviderResultInvalid(f"{result.model} answered without a video", step=step)
        return [result.artifact]

    def run_local(self, ctx: Context, step: str, task: LocalTask) -> Sequence[StoredArtifact]:
        """Make the video with a local model."""
        return generate_video_locally(ctx, step, task)


def generate_video(
    ctx: Context,
    step: str,
    job_type: str,
    data: Generation,
    *,
    parameters: Mapping[str, Any] | None = None,
    inputs: Mapping[str, InputFile] | None = None,
) -> Sequence[StoredArtifact]:
    """Make ``video.mp4`` with the first available model of ``data``; its details are added to the manifest.

    Raises:
        ProviderError, RenderError: No model returned a video.
    """
    videos = generate(ctx, step, job_type, data, VideoOutput(), parameters=parameters, inputs=inputs)
    ctx.annotate(**videos[0].details)
    return videos


def plan_video(
    ctx: Context, job_type: str, data: Generation, parameters: Mapping[str, Any], before: Estimate | None = None
) -> Plan:
    """Return the plan of a video by the first model that accepts the parameters, with the prices of its routes.

    ``before`` is the estimate of the calls that precede the video.
    """
    before = before or Estimate()
    model, values = candidates(data.models, parameters, job_type, ctx.catalogue, data.field_path)[0]
    if model.provider == LOCAL:
        return plan_local(model, values, before)
    total = estimate(model, values) + before
    _, *routes = ctx.catalogue.with_routes([model.id], parameters, job_type).accepted
    costs = {route.id: cost_text(estimate(route, given).cost) for route, given in routes}
    return Plan(
        duration_seconds=billable_seconds(values),
        estimated_seconds=total.seconds,
        cost=total.cost,
        details={"model": model.id, "provider": model.provider, "parameters": values}
        | ({"routes": costs} if costs else {}),
    )
