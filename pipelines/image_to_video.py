"""A still picture is animated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.context import Context
from pipelines.estimates import Estimate, helper_estimate
from pipelines.image_to_prompt import TYPE as DESCRIPTION
from pipelines.image_to_prompt import picture, prompt_in
from pipelines.models import fitting
from pipelines.text_to_video import film, planned
from providers.catalogue import Catalogue
from schemas.image_to_video import ImageToVideo
from schemas.media import Artifact, Plan

TYPE = "image-to-video"
#: With this model among those named, an absent prompt is written from the image.
_WRITES_PROMPTS = "pika"
INTERROGATOR = "clip-interrogator"
#: As the I2V service asked it.
_THOROUGH = {"mode": "best"}


def image_to_video(data: ImageToVideo, ctx: Context) -> Sequence[Artifact]:
    """``video.mp4``; the prompt used stands in the manifest."""
    # Before anything is paid for.
    check(data, TYPE, ctx.catalogue)
    image = picture(data.image, ctx)
    prompt = data.prompt
    if prompt is None:
        made = ctx.ask("caption", [INTERROGATOR], _THOROUGH, inputs={"image": image}, as_type=DESCRIPTION)
        prompt = _cut(prompt_in(made), _longest(data, ctx.catalogue))
    ctx.tell(prompt=prompt)
    return [film(ctx, "animate", data, {**data.given(), "prompt": prompt}, {"image": image})]


def check(data: ImageToVideo, job_type: str, catalogue: Catalogue) -> None:
    """Nothing, if a model takes the parameters, or will once the prompt is written.

    Raises:
        RequestError: none does, or the prompt is missing and nobody writes it.
    """
    fitting(data.models, _with_prompt(data), job_type, catalogue, data.place)


def plan(data: ImageToVideo, ctx: Context) -> Plan:
    """What ``image_to_video`` would make and cost. The image is fetched and looked at."""
    picture(data.image, ctx)
    written = data.prompt is None
    before = helper_estimate([INTERROGATOR], DESCRIPTION, None, ctx.catalogue) if written else Estimate()
    return planned(TYPE, data, _with_prompt(data), ctx, before)


def _with_prompt(data: ImageToVideo) -> dict[str, Any]:
    """The parameters, with a stand-in for a prompt that is still to be written."""
    stand_in = {"prompt": "x"} if data.prompt is None and _WRITES_PROMPTS in map(str.lower, data.models) else {}
    return {**stand_in, **data.given()}


def _longest(data: ImageToVideo, catalogue: Catalogue) -> int | None:
    """The longest prompt that every model which may be asked takes."""
    models = [model for model, _ in fitting(data.models, _with_prompt(data), TYPE, catalogue)]
    limits = [model.parameters["prompt"].longest for model in models if "prompt" in model.parameters]
    return min((limit for limit in limits if limit is not None), default=None)


def _cut(prompt: str, longest: int | None) -> str:
    """The prompt, ended after a whole part or word where it is too long."""
    if longest is None or len(prompt) <= longest:
        return prompt
    head = prompt[: longest + 1]
    for mark in (",", " "):
        if mark in head:
            return head.rpartition(mark)[0].rstrip(", ")
    return prompt[:longest]
