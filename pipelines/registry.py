"""The pipeline and the worker role of each job type. A pipeline's module is imported when first needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipelines.models.matching import check_models
from providers.catalogue import Catalogue
from schemas.media import Plan, StoredArtifact

if TYPE_CHECKING:
    from pipelines.context import Context

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


def _built_in(
    module: str, role: Role, *, run: str, check: Callable[[Any, str, Catalogue], None] | str = check_nothing
) -> Pipeline:
    """Return the pipeline of a module of this package, given the names of its functions."""

    def function(name: str) -> Callable[..., Any]:
        return lambda *arguments: getattr(importlib.import_module(f"pipelines.{module}"), name)(*arguments)

    checks = function(check) if isinstance(check, str) else check
    return Pipeline(run=function(run), plan=function("plan"), role=role, check=checks)


#: The role applies to requests without local models. A request that names a local model needs ``gpu``.
PIPELINES: dict[str, Pipeline] = {
    "reel": _built_in("reel", "render", run="reel"),
    "text-to-image": _built_in("text_to_image", "io", run="text_to_image", check=check_models),
    "story-to-video": _built_in("story_to_video", "gpu", run="story_to_video", check="check"),
    "text-to-video": _built_in("text_to_video", "io", run="text_to_video", check=check_models),
    "image-to-video": _built_in("image_to_video", "io", run="image_to_video", check="check"),
    "audio-to-video": _built_in("audio_to_video", "io", run="audio_to_video", check=check_models),
    "image-to-prompt": _built_in("image_to_prompt", "io", run="image_to_prompt", check=check_models),
    "audio-to-captions": _built_in("audio_to_captions", "io", run="audio_to_captions"),
}


_MODULES = [f"pipelines.{job_type.replace('-', '_')}" for job_type in PIPELINES]


def import_all() -> None:
    """Import every pipeline of this package: in a worker before it forks, so that its processes share the memory."""
    for module in _MODULES:
        importlib.import_module(module)


def is_short(pipelines: Mapping[str, Pipeline], job_type: str) -> bool:
    """Return whether a worker may claim several jobs of the type at once."""
    pipeline = pipelines.get(job_type)
    return pipeline is not None and pipeline.short and pipeline.role != "gpu"
