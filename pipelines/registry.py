"""The pipeline and the worker role of each job type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from schemas.media import Plan, StoredArtifact

Role = Literal["io", "render", "gpu"]


def check_nothing(data: Any, job_type: str, catalogue: Catalogue) -> None:
    """Accept every request: the job type's schema has checked it."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The functions of one job type, and the role of the workers that run it."""

    #: ``run(data, context)``: makes the files.
    run: Callable[[Any, Context], Sequence[StoredArtifact]]
    #: ``plan(data, context)``: returns what ``run`` would make and cost.
    plan: Callable[[Any, Context], Plan]
    role: Role
    #: ``check(data, job_type, catalogue)``: raises a ``RequestError`` if no model of the catalogue can do it.
    #: Called on admission, so it must be fast and do no I/O.
    check: Callable[[Any, str, Catalogue], None] = check_nothing
    #: Whether every job takes milliseconds and calls no model: a worker may claim several of them at once.
    short: bool = False


#: The role applies to requests without local models. A request that names a local model needs ``gpu``.
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


def is_short(pipelines: Mapping[str, Pipeline], job_type: str) -> bool:
    """Return whether a worker may claim several jobs of the type at once."""
    pipeline = pipelines.get(job_type)
    return pipeline is not None and pipeline.short and pipeline.role != "gpu"
