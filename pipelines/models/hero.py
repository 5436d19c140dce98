"""Who a story is about, as a picture: it comes with the request, or is made before the scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.context import Context, Progress
from pipelines.image_to_prompt import LIMIT_BYTES
from pipelines.media.inspect.decoded import decode_in_child
from pipelines.models.matching import fitting
from providers.catalogue import Catalogue, Model
from providers.local.base import LocalCall
from providers.local.files import find_adapter
from schemas.errors import InputError, UnsupportedOption
from schemas.media import Artifact, InputFile, MediaFacts
from schemas.story_to_video import StoryToVideo

#: The result's file with the hero, where it was made.
NAME = "hero.png"
_KINDS = ("jpeg", "png")


@dataclass(frozen=True, slots=True)
class Hero:
    """The picture that a model looks at for every scene."""

    picture: Path
    #: The same for the results, where it was made.
    artifact: Artifact | None
    #: For the manifest.
    details: Mapping[str, Any]


def models_for(data: StoryToVideo, job_type: str, catalogue: Catalogue) -> list[str]:
    """The models that can make the story, in the order of the request.

    Raises:
        RequestError: none can.
    """
    found = [model for model, _ in fitting(data.models, data.given(), job_type, catalogue, data.place)]
    if data.consistency != "reference":
        return [model.id for model in found]
    able = [model.id for model in found if _has_adapter(model)]
    if not able:
        others = [model.id for model in catalogue if job_type in model.types and _has_adapter(model)]
        names = ", ".join(model.id for model in found)
        raise UnsupportedOption(
            f"data.consistency: {names} cannot look at a picture of the hero, because the catalogue names no adapter "
            f"for it; with one there are: {', '.join(others) or 'none'}. Or take prompt or shared-attention",
            field="data.consistency",
        )
    return able


def hero_image(data: StoryToVideo, ctx: Context) -> InputFile | None:
    """The input ``hero_image``, if the request names one.

    Raises:
        InputError: it cannot be used.
    """
    if data.hero_image is None:
        return None
    return ctx.input("hero_image", data.hero_image, kinds=_KINDS, limit_bytes=LIMIT_BYTES)


def makes_hero(data: StoryToVideo) -> bool:
    """Whether a picture of the hero is made before the scenes."""
    return data.consistency == "reference" and data.hero_image is None


def hero(
    data: StoryToVideo,
    ctx: Context,
    model: Model,
    values: Mapping[str, Any],
    seed: int,
    given: InputFile | None,
    folder: Path,
    progress: Progress,
) -> Hero:
    """The hero's picture in ``folder``: the one that was given, else made by ``model`` from the description alone.

    Raises:
        ModelNotInstalled: the model's adapter is not here.
        InputError: the picture that was given is damaged.
    """
    find_adapter(model, ctx.host.folder)  # before anything is made
    assert model.weights is not None
    adapter = model.weights.adapter
    assert adapter is not None
    told = {"adapter": f"{adapter.source}/{adapter.weight_path}", "scale": adapter.scale}
    if given is not None:
        try:
            picture = decode_in_child(given, folder, ctx.bounds)
        except InputError as error:
            error.field = "data.hero_image"
            raise
        return Hero(picture, None, {"hero": "given", "hero_sha256": given.sha256, **told})
    call = LocalCall(
        prompts=(data.hero_description.strip(),),
        seeds=(seed,),
        width=data.width,
        height=data.height,
        parameters=values,
    )
    made = ctx.host.run(model, call, progress)
    picture = folder / NAME
    Image.fromarray(made.pictures[0]).save(picture, "PNG")
    details = {"prompt": call.prompts[0], "seed": seed, "model": model.id}
    facts = MediaFacts(width=call.width, height=call.height)
    artifact = Artifact(name=NAME, content_type="image/png", facts=facts, path=picture, details=details)
    return Hero(picture, artifact, {"hero": "made", "hero_seed": seed, **told})


def _has_adapter(model: Model) -> bool:
    return model.weights is not None and model.weights.adapter is not None
