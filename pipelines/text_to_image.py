"""``text-to-image``: a description becomes an image."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.context import Context
from pipelines.models.estimates import estimate
from pipelines.models.generate import generate
from pipelines.models.images import ImageOutput, image_seconds
from pipelines.models.local_names import LOCAL
from pipelines.models.matching import candidates
from schemas.media import Plan, StoredArtifact
from schemas.text_to_image import TextToImage

TYPE = "text-to-image"


def text_to_image(data: TextToImage, ctx: Context) -> Sequence[StoredArtifact]:
    """Make ``image.png``."""
    ctx.annotate(prompt=data.prompt)
    images = generate(ctx, "generate", TYPE, data, ImageOutput(inline=data.return_base64))
    ctx.annotate(**images[0].details)
    return images


def plan(data: TextToImage, ctx: Context) -> Plan:
    """Return the plan of a ``text-to-image`` job, for the first model that accepts the parameters."""
    model, values = candidates(data.models, data.explicit_parameters(), TYPE, ctx.catalogue, data.field_path)[0]
    expected = estimate(model, values)
    width, height = values.get("width"), values.get("height")
    return Plan(
        width=width if isinstance(width, int) else None,
        height=height if isinstance(height, int) else None,
        estimated_seconds=image_seconds(values) if model.provider == LOCAL else expected.seconds,
        cost=expected.cost,
        details={"model": model.id, "provider": model.provider, "parameters": values},
    )
