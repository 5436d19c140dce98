"""A still picture is animated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.context import Context, ModelCall
from pipelines.image_to_prompt import TYPE as DESCRIPTION, picture, prompt_in
from pipelines.models.estimates import Estimate, helper_estimate
from pipelines.models.local_caption import described
from pipelines.models.matching import fitting
from pipelines.models.routing import names_local, names_local_model
from pipelines.text_to_video import film, planned
from providers.catalogue import Catalogue
from schemas.errors import ModelNotInstalled, ProviderNotConfigured, UnknownModel
from schemas.image_to_video import ImageToVideo
from schemas.media import Artifact, InputFile, Plan

TYPE = "image-to-video"
#: With this model among those named, an absent prompt is written from the image.
_WRITES_PROMPTS = "pika"
INTERROGATOR = "clip-interrogator"
LOCAL_INTERROGATOR = "clip-interrogator/local"
_STAND_IN = "a picture"
#: As the I2V service asked it.
_THOROUGH = {"mode": "best"}


def image_to_video(data: ImageToVideo, ctx: Context) -> Sequence[Artifact]:
    """``video.mp4``; the prompt used stands in the manifest."""
    # Before anything is paid for.
    check(data, TYPE, ctx.catalogue)
    image = picture(data.image, ctx)
    prompt = data.prompt
    written: list[Artifact] = []
    if prompt is None:
        words, written = _described(data, image, ctx)
        prompt = _cut(words, _longest(data, ctx.catalogue))
    ctx.annotate(prompt=prompt)
    made = film(ctx, "animate", data, {**data.given(), "prompt": prompt}, TYPE, {"image": image})
    return [made, *written]


def _described(data: ImageToVideo, image: InputFile, ctx: Context) -> tuple[str, list[Artifact]]:
    """What is to be seen, and the file that says so where it was written here.

    Local models have it written here; for others Replicate is asked, and this worker only where that has no key.
    """
    problem: ProviderNotConfigured | None = None
    if not _writes_here(data, ctx.catalogue):
        try:
            call = ModelCall([INTERROGATOR], _THOROUGH, {"image": image}, as_type=DESCRIPTION)
            return prompt_in(ctx.call("caption", call)), []
        except ProviderNotConfigured as error:
            problem = error
    try:
        model = ctx.catalogue.find(LOCAL_INTERROGATOR, DESCRIPTION)
        here = described(ctx, "describe", model, model.checked(_THOROUGH), image)
    except (ModelNotInstalled, UnknownModel):
        if problem is not None:
            raise problem from None
        raise
    return str(here.details["text"]), [here]


def _writes_here(data: ImageToVideo, catalogue: Catalogue) -> bool:
    """Whether an absent prompt is written on this worker: all models are local."""
    return all(names_local_model(name, catalogue) for name in data.models)


def check(data: ImageToVideo, job_type: str, catalogue: Catalogue) -> None:
    """Nothing, if a model takes the parameters, or will once the prompt is written.

    Raises:
        RequestError: none does, or the prompt is missing and nobody writes it.
    """
    fitting(data.models, _with_prompt(data, catalogue), job_type, catalogue, data.place)


def plan(data: ImageToVideo, ctx: Context) -> Plan:
    """What ``image_to_video`` would make and cost. The image is fetched and looked at."""
    picture(data.image, ctx)
    asked = data.prompt is None and not _writes_here(data, ctx.catalogue)
    before = helper_estimate([INTERROGATOR], DESCRIPTION, None, ctx.catalogue) if asked else Estimate()
    return planned(TYPE, data, _with_prompt(data, ctx.catalogue), ctx, before)


def _with_prompt(data: ImageToVideo, catalogue: Catalogue) -> dict[str, Any]:
    """The parameters, with a stand-in for a prompt that is still to be written."""
    written = _WRITES_PROMPTS in map(str.lower, data.models) or names_local(data, catalogue)
    stand_in = {"prompt": _STAND_IN} if data.prompt is None and written else {}
    return {**stand_in, **data.given()}


def _longest(data: ImageToVideo, catalogue: Catalogue) -> int | None:
    """The longest prompt that every model which may be asked takes."""
    models = [model for model, _ in fitting(data.models, _with_prompt(data, catalogue), TYPE, catalogue)]
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
