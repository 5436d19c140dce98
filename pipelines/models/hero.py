"""The hero of a story as an image: part of the request, or generated before the scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.context import Context, Progress
from pipelines.media.inspect.in_child import decode_in_child
from pipelines.models.generate import LocalTask
from pipelines.models.images import MAX_IMAGE_BYTES
from pipelines.models.matching import candidates
from pipelines.models.routing import seed_of
from providers.catalogue import Catalogue, Model
from providers.local.base import LocalCall
from providers.local.weight_files import find_adapter
from schemas.errors import InputError, UnsupportedOption
from schemas.media import InputFile, LocalFile, MediaFacts
from schemas.story_to_video import StoryToVideo

#: The name of the hero's image in the results, if it was generated.
NAME = "hero.png"
_KINDS = ("jpeg", "png")


@dataclass(frozen=True, slots=True)
class Hero:
    """The image that a model refers to in every scene."""

    picture: Path
    #: The image as a result, if it was generated.
    file: LocalFile | None
    #: For the manifest.
    details: Mapping[str, Any]


def models_for(data: StoryToVideo, job_type: str, catalogue: Catalogue) -> list[str]:
    """Return the models that can make the story, in the request's order of preference.

    Raises:
        RequestError: No model can.
    """
    found = [
        model for model, _ in candidates(data.models, data.explicit_parameters(), job_type, catalogue, data.field_path)
    ]
    if data.consistency != "reference":
        return [model.id for model in found]
    able = [model.id for model in found if _has_adapter(model)]
    if not able:
        others = [model.id for model in catalogue if job_type in model.types and _has_adapter(model)]
        names = ", ".join(model.id for model in found)
        raise UnsupportedOption(
            f"data.consistency: {names} cannot use an image of the hero, because its catalogue entry has no adapter; "
            f"available with one: {', '.join(others) or 'none'}. Or use prompt or shared-attention",
            field="data.consistency",
        )
    return able


def fetch_hero_image(data: StoryToVideo, ctx: Context) -> InputFile | None:
    """Fetch the input ``hero_image``, if the request names one.

    Raises:
        InputError: It cannot be used.
    """
    if data.hero_image is None:
        return None
    return ctx.input("hero_image", data.hero_image, kinds=_KINDS, limit_bytes=MAX_IMAGE_BYTES)


def generates_hero(data: StoryToVideo) -> bool:
    """Return whether an image of the hero is generated before the scenes."""
    return data.consistency == "reference" and data.hero_image is None


def make_hero(data: StoryToVideo, ctx: Context, task: LocalTask, folder: Path, progress: Progress) -> Hero:
    """Write the hero's image into ``folder``: the one of the request, or one that the model generates.

    Raises:
        ModelNotInstalled: The model's adapter is not installed.
        InputError: The image of the request is damaged.
    """
    ctx.host.install(task.model, progress, adapter=True)
    find_adapter(task.model, ctx.host.folder)  # Before any image is generated.
    assert task.model.weights is not None
    adapter = task.model.weights.adapter
    assert adapter is not None
    details = {"adapter": f"{adapter.source}/{adapter.weight_path}", "scale": adapter.scale}
    given = task.inputs.get("hero_image")
    if given is not None:
        return Hero(_decode(given, folder, ctx), None, {"hero": "given", "hero_sha256": given.sha256, **details})
    seed = seed_of(task.parameters, ctx)
    file = _generate(data, ctx, task, seed, folder / NAME, progress)
    return Hero(folder / NAME, file, {"hero": "made", "hero_seed": seed, **details})


def _decode(given: InputFile, folder: Path, ctx: Context) -> Path:
    try:
        return decode_in_child(given, folder, ctx.bounds)
    except InputError as error:
        error.field = "data.hero_image"
        raise


def _generate(
    data: StoryToVideo, ctx: Context, task: LocalTask, seed: int, path: Path, progress: Progress
) -> LocalFile:
    """Generate the hero's image from its description alone."""
    call = LocalCall(
        prompts=(data.hero_description.strip(),),
        seeds=(seed,),
        width=data.width,
        height=data.height,
        parameters=task.parameters,
    )
    result = ctx.host.run(task.model, call, progress)
    Image.fromarray(result.images[0]).save(path, "PNG")
    details = {"prompt": call.prompts[0], "seed": seed, "model": task.model.id}
    facts = MediaFacts(width=call.width, height=call.height)
    return LocalFile(name=NAME, content_type="image/png", facts=facts, path=path, details=details)


def _has_adapter(model: Model) -> bool:
    return model.weights is not None and model.weights.adapter is not None
