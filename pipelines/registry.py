"""Which pipeline makes which job type, and which worker role it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines import (
    audio_to_captions,
    audio_to_video,
    image_to_prompt,
    image_to_video,
    story_to_video,
    text_to_image,
    text_to_video,
)
from pipelines.context import Context
from pipelines.models.matching import check_models
from pipelines.reel import plan as plan_reel, reel
from providers.catalogue import Catalogue
from schemas.media import Artifact, Plan

Role = Literal["io", "render", "gpu"]


def check_nothing(data: Any, job_type: str, catalogue: Catalogue) -> None:
    """Takes everything: the type's model has checked what there is."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """How one job type is made and estimated."""

    #: ``run(data, context)``: a straight-line function.
    run: Callable[[Any, Context], Sequence[Artifact]]
    #: ``plan(data, context)``: what ``run`` would make.
    plan: Callable[[Any, Context], Plan]
    role: Role
    #: ``check(data, job_type, catalogue)``: raises a ``RequestError`` for what no model of the catalogue can do.
    #: Asked at the door, so it is quick and looks at nothing else.
    check: Callable[[Any, str, Catalogue], None] = check_nothing


#: The role is that of requests without a local model; those that name one need ``gpu``.
PIPELINES: dict[str, Pipeline] = {
    "reel": Pipeline(run=reel, plan=plan_reel, role="render"),
    "text-to-image": Pipeline(run=text_to_image.text_to_image, plan=text_to_image.plan, role="io", check=check_models),
    "story-to-video": Pipeline(
        run=story_to_video.story_to_video, plan=story_to_video.plan, role="gpu", check=story_to_video.check
    ),
    "text-to-video": Pipeline(run=text_to_video.text_to_video, plan=text_to_video.plan, role="io", check=check_models),
    "image-to-video": Pipeline(
        run=image_to_video.image_to_video, plan=image_to_video.plan, role="io", check=image_to_video.check
    ),
    "audio-to-video": Pipeline(
        run=audio_to_video.audio_to_video, plan=audio_to_video.plan, role="io", check=check_models
    ),
    "image-to-prompt": Pipeline(
        run=image_to_prompt.image_to_prompt, plan=image_to_prompt.plan, role="io", check=check_models
    ),
    "audio-to-captions": Pipeline(run=audio_to_captions.audio_to_captions, plan=audio_to_captions.plan, role="io"),
}
