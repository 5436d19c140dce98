"""``image-to-prompt``: an image is described in words."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.context import Context
from pipelines.models.estimates import estimate
from pipelines.models.generate import generate
from pipelines.models.images import fetch_image
from pipelines.models.matching import candidates
from pipelines.models.prompts import IMAGE_TO_PROMPT, PromptOutput
from schemas.image_to_prompt import ImageToPrompt
from schemas.media import Plan, StoredArtifact


def image_to_prompt(data: ImageToPrompt, ctx: Context) -> Sequence[StoredArtifact]:
    """Make ``prompt.txt``; the manifest contains the prompt too."""
    image = fetch_image(ctx, data.image)
    return generate(ctx, "describe", IMAGE_TO_PROMPT, data, PromptOutput(), inputs={"image": image})


def plan(data: ImageToPrompt, ctx: Context) -> Plan:
    """Return the plan of an ``image-to-prompt`` job. The image is fetched and checked."""
    fetch_image(ctx, data.image)
    model, values = candidates(
        data.models, data.explicit_parameters(), IMAGE_TO_PROMPT, ctx.catalogue, data.field_path
    )[0]
    expected = estimate(model, values)
    details = {"model": model.id, "provider": model.provider, "parameters": values}
    return Plan(estimated_seconds=expected.seconds, cost=expected.cost, details=details)
