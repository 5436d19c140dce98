"""``image-to-video``: a still image is animated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.context import Context
from pipelines.models.estimates import Estimate
from pipelines.models.images import fetch_image
from pipelines.models.local_names import names_local, names_local_model
from pipelines.models.matching import candidates
from pipelines.models.prompts import prompt_estimate, write_prompt
from pipelines.models.video import generate_video, plan_video
from providers.catalogue import Catalogue
from schemas.image_to_video import ImageToVideo
from schemas.media import Plan, StoredArtifact

TYPE = "image-to-video"
#: If the request names this model, a missing prompt is written from the image.
_WRITES_PROMPTS = "pika"
_PLACEHOLDER = "a picture"


def image_to_video(data: ImageToVideo, ctx: Context) -> Sequence[StoredArtifact]:
    """Make ``video.mp4``, and ``prompt.txt`` if this worker wrote the prompt. The manifest contains the prompt."""
    check(data, TYPE, ctx.catalogue)  # Again, before any call is paid for: the catalogue may have changed.
    image = fetch_image(ctx, data.image)
    prompt, files = data.prompt, list[StoredArtifact]()
    if prompt is None:
        text, written = write_prompt(ctx, image, local=_all_local(data, ctx.catalogue))
        prompt, files = _shorten(text, _longest_prompt(data, ctx.catalogue)), list(written)
    ctx.annotate(prompt=prompt)
    parameters = {**data.explicit_parameters(), "prompt": prompt}
    return [*generate_video(ctx, "animate", TYPE, data, parameters=parameters, inputs={"image": image}), *files]


def check(data: ImageToVideo, job_type: str, catalogue: Catalogue) -> None:
    """Check that a model accepts the parameters, or will once the prompt is written.

    Raises:
        RequestError: No model does, or the prompt is missing and no model of the request has it written.
    """
    candidates(data.models, _with_prompt(data, catalogue), job_type, catalogue, data.field_path)


def plan(data: ImageToVideo, ctx: Context) -> Plan:
    """Return the plan of an ``image-to-video`` job. The image is fetched and checked."""
    fetch_image(ctx, data.image)
    calls_captioner = data.prompt is None and not _all_local(data, ctx.catalogue)
    before = prompt_estimate(ctx.catalogue) if calls_captioner else Estimate()
    return plan_video(ctx, TYPE, data, _with_prompt(data, ctx.catalogue), before)


def _all_local(data: ImageToVideo, catalogue: Catalogue) -> bool:
    """Return whether all models are local, so that this worker writes a missing prompt."""
    return all(names_local_model(name, catalogue) for name in data.models)


def _with_prompt(data: ImageToVideo, catalogue: Catalogue) -> dict[str, Any]:
    """Return the parameters, with a placeholder for a prompt that is yet to be written."""
    written = _WRITES_PROMPTS in map(str.lower, data.models) or names_local(data, catalogue)
    placeholder = {"prompt": _PLACEHOLDER} if data.prompt is None and written else {}
    return {**placeholder, **data.explicit_parameters()}


def _longest_prompt(data: ImageToVideo, catalogue: Catalogue) -> int | None:
    """Return the number of characters that every candidate accepts; ``None``: there is no limit."""
    models = [model for model, _ in candidates(data.models, _with_prompt(data, catalogue), TYPE, catalogue)]
    limits = [model.parameters["prompt"].longest for model in models if "prompt" in model.parameters]
    return min((limit for limit in limits if limit is not None), default=None)


def _shorten(prompt: str, longest: int | None) -> str:
    """Return the prompt, cut after a whole phrase or word if it is too long."""
    if longest is None or len(prompt) <= longest:
        return prompt
    head = prompt[: longest + 1]
    for mark in (",", " "):
        if mark in head:
            return head.rpartition(mark)[0].rstrip(", ")
    return prompt[:longest]
