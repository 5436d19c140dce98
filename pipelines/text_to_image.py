"""A description becomes a picture."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.context import Context, ModelCall, OutputSpec, Progress
from pipelines.models.estimates import estimate
from pipelines.models.matching import fitting
from pipelines.models.routing import LOCAL, made_somewhere, seed_of
from providers.catalogue import Model
from providers.local.base import LocalCall
from schemas.errors import ProviderResultInvalid
from schemas.media import Artifact, MediaFacts, Plan
from schemas.text_to_image import TextToImage

TYPE = "text-to-image"
PICTURE = OutputSpec("image.png", ("png",))
#: Seconds that one picture of 512 x 512 with 25 steps takes, as the Image and Video API reckons.
SECONDS_A_PICTURE = 5.0


def text_to_image(data: TextToImage, ctx: Context) -> Sequence[Artifact]:
    """``image.png``."""
    ctx.annotate(prompt=data.prompt)
    made = made_somewhere(
        ctx,
        "generate",
        data,
        data.given(),
        TYPE,
        remote=lambda step, names: _asked(data, ctx, step, names),
        here=lambda step, model, values: _made_here(data, ctx, step, model, values),
    )
    ctx.annotate(**made.details)
    return [made]


def plan(data: TextToImage, ctx: Context) -> Plan:
    """What ``text_to_image`` would make and cost, of the first model that takes the parameters."""
    model, values = fitting(data.models, data.given(), TYPE, ctx.catalogue, data.place)[0]
    asked = estimate(model, values)
    width, height = values.get("width"), values.get("height")
    return Plan(
        width=width if isinstance(width, int) else None,
        height=height if isinstance(height, int) else None,
        estimated_seconds=picture_seconds(values) if model.provider == LOCAL else asked.seconds,
        cost=asked.cost,
        details={"model": model.id, "provider": model.provider, "parameters": values},
    )


def picture_seconds(values: Mapping[str, Any], pictures: int = 1) -> float:
    """What pictures are likely to take: by their number, steps and pixels."""
    pixels = int(values.get("width", 512)) * int(values.get("height", 512)) / (512 * 512)
    return round(pictures * SECONDS_A_PICTURE * pixels * int(values.get("num_inference_steps", 25)) / 25, 1)


def _asked(data: TextToImage, ctx: Context, step: str, names: Sequence[str]) -> Artifact:
    made = ctx.call(step, ModelCall(names, data.given(), output=PICTURE))
    if made.artifact is None:
        raise ProviderResultInvalid(f"{made.model} answered without a picture", step=step)
    return made.artifact.model_copy(update={"inline": data.return_base64})


def _made_here(data: TextToImage, ctx: Context, step: str, model: Model, values: Mapping[str, Any]) -> Artifact:
    seed = seed_of(values, ctx)

    def render(folder: Path, progress: Progress) -> Sequence[Artifact]:
        started = time.monotonic()
        call = LocalCall(
            prompts=(data.prompt,), seeds=(seed,), width=values["width"], height=values["height"], parameters=values
        )
        made = ctx.host.run(model, call, progress)
        path = folder / PICTURE.name
        Image.fromarray(made.pictures[0]).save(path, "PNG")
        facts = MediaFacts(width=call.width, height=call.height)
        details = {
            "model": model.id,
            "backend": model.id,
            "seed": seed,
            "num_inference_steps": values["num_inference_steps"],
            **made.details,
            "elapsed_seconds": round(time.monotonic() - started, 3),
        }
        return [
            Artifact(
                name=PICTURE.name,
                content_type="image/png",
                facts=facts,
                path=path,
                details=details,
                inline=data.return_base64,
            )
        ]

    return ctx.step(step, render)[0]
