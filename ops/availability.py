"""What this machine lacks to run a request: keys, packages and weights. Nothing is loaded and no provider is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ops.checks.providers import missing
from pipelines.models.alignment import CAPTIONS, TRANSCRIBER
from pipelines.models.hero import models_for
from pipelines.models.local_names import LOCAL, names_local_model
from pipelines.models.prompts import IMAGE_TO_PROMPT, prompt_models
from pipelines.models.remote_reel import MODEL as REMOTE_REEL
from pipelines.models.routing import AUTO
from providers.catalogue import Catalogue, Model
from providers.local.device import require_packages
from providers.local.weight_files import check_weight_files, find_adapter, find_weights, is_downloadable
from providers.registry import catalogue_of
from schemas.audio_to_captions import AudioToCaptions
from schemas.envelope import Request
from schemas.errors import ModelNotInstalled, ProviderNotConfigured, TelecineError, UnknownModel
from schemas.generation import Generation
from schemas.image_to_video import ImageToVideo
from schemas.reel import Reel
from schemas.settings import Settings
from schemas.story_to_video import StoryToVideo


def obstacles(settings: Settings, request: Request) -> list[str]:
    """Return why this machine cannot run the request, each as ``code: message``; empty if it can.

    Every step needs one of its models; a step with none that is available here is an obstacle.
    """
    catalogue = catalogue_of(settings)
    found: list[str] = []
    for models in _needed(request, catalogue):
        problems = [_problems(model, request, settings, catalogue) for model in models]
        if problems and all(problems):
            found += [problem for one in problems for problem in one if problem not in found]
    return found


def _needed(request: Request, catalogue: Catalogue) -> Iterator[Sequence[Model]]:
    """Yield the alternatives of each step that needs a model."""
    data = request.data
    if isinstance(data, Generation):
        yield _accepting(data, request.type, catalogue)
    if isinstance(data, ImageToVideo) and data.prompt is None:
        local = all(names_local_model(name, catalogue) for name in data.models)
        yield _known(prompt_models(local=local), IMAGE_TO_PROMPT, catalogue)
    if isinstance(data, Reel | AudioToCaptions):
        needs_words = data.alignment_mode == "auto" and not data.lyrics.strip()
        if data.timing is None and (needs_words or data.alignment_mode == "elevenlabs"):
            yield _known([TRANSCRIBER], CAPTIONS, catalogue)
    if isinstance(data, Reel) and data.renderer == "runpod":
        yield _known([REMOTE_REEL], request.type, catalogue)


def _accepting(data: Generation, job_type: str, catalogue: Catalogue) -> Sequence[Model]:
    """Return the models of the request that accept its parameters, with a prompt that is yet to be written."""
    if isinstance(data, StoryToVideo):
        return _known(models_for(data, job_type, catalogue), job_type, catalogue)
    given = data.explicit_parameters()
    for parameters in (given, {"prompt": "a picture", **given}):
        if accepted := catalogue.with_routes(data.models, parameters, job_type, data.field_path).accepted:
            return [model for model, _ in accepted]
    return []


def _known(names: Sequence[str], job_type: str, catalogue: Catalogue) -> list[Model]:
    found = []
    for name in names:
        try:
            found.append(catalogue.find(name, job_type))
        except UnknownModel:
            continue
    return found


def _problems(model: Model, request: Request, settings: Settings, catalogue: Catalogue) -> list[str]:
    if model.provider != LOCAL:
        lacks = missing(model.provider, settings)
        if lacks is None and model.id == REMOTE_REEL and not (model.remote or settings.runpod_endpoint_id):
            lacks = "RunPod has no endpoint on this worker. Set RUNPOD_ENDPOINT_ID."
        return [] if lacks is None else [f"{ProviderNotConfigured.code}: {lacks}"]
    if model.id != AUTO:
        return _local_problems(model, request.data, settings)
    backends = [item for item in catalogue if item.provider == LOCAL and _makes_film(item, request.type)]
    problems = {item.id: _local_problems(item, request.data, settings) for item in backends}
    if not all(problems.values()):
        return []
    first = next((item.id for item in backends if is_downloadable(item)), None)
    return problems[first or backends[0].id] if backends else []


def _makes_film(model: Model, job_type: str) -> bool:
    weights = model.weights
    if model.id == AUTO or weights is None or weights.family != "film" or job_type not in model.types:
        return False
    return weights.takes_image if job_type == "image-to-video" else weights.takes_text


def _local_problems(model: Model, data: Any, settings: Settings) -> list[str]:
    """Return everything that is missing for a local model, not only the first: packages, weights and adapter."""
    folder = settings.local_models_folder
    needs_adapter = isinstance(data, StoryToVideo) and data.consistency == "reference"
    checks: list[Callable[[], object]] = [
        require_packages,
        lambda: check_weight_files(model.id, find_weights(model, folder)),
        *([lambda: find_adapter(model, folder)] if needs_adapter else []),
    ]
    found = []
    for check in checks:
        try:
            check()
        except ModelNotInstalled as error:
            if check is require_packages or not settings.local_pull or not is_downloadable(model):
                found.append(f"{error.code}: {error.message}")
        except TelecineError as error:
            found.append(f"{error.code}: {error.message}")
    return found
