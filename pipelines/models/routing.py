"""Models that run here, among those that a request names: which are tried in what order, and what they are sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pipelines.context import Context, Progress
from pipelines.models.matching import fitting
from providers.catalogue import Catalogue, Model
from providers.local.base import LocalCall
from providers.local.files import bringing, can_be_brought, has_weights
from providers.local.host import ModelHost
from schemas.errors import (
    DeviceFailed,
    InputError,
    ModelNotInstalled,
    ProviderError,
    ProviderOutcomeUnknown,
    RenderError,
    RetriesExhausted,
    TelecineError,
)
from schemas.generation import Generation

LOCAL = "local"
#: The model that stands for the best backend.
AUTO = "auto"
Made = TypeVar("Made")


def made_somewhere(
    ctx: Context,
    step: str,
    data: Generation,
    parameters: Mapping[str, Any],
    job_type: str,
    *,
    remote: Callable[[str, Sequence[str]], Made],
    here: Callable[[str, Model, Mapping[str, Any]], Made],
) -> Made:
    """What the first of the models that can be had made, in the order that the request names them.

    ``remote`` gets a step's name and the models that stand together, ``here`` one model and what it is sent.

    Raises:
        ProviderError, RenderError: no model delivered; the last one's reason.
    """
    if not names_local(data, ctx.catalogue):
        return remote(step, data.models)
    groups: list[list[tuple[Model, dict[str, Any]]]] = []
    for model, values in fitting(data.models, parameters, job_type, ctx.catalogue, data.place):
        if not groups or LOCAL in (model.provider, groups[-1][-1][0].provider):
            groups.append([])
        groups[-1].append((model, values))
    last: TelecineError | None = None
    for number, group in enumerate(groups):
        name = step if number == 0 else f"{step}-{number + 1}"
        model, values = group[0]
        try:
            if model.provider == LOCAL:
                return here(name, model, values)
            return remote(name, [item.id for item, _ in group])
        except DeviceFailed:
            raise  # a new worker can make it; no other model is asked for that, and perhaps paid
        except ProviderOutcomeUnknown:
            raise  # a person gave it up, and the job with it
        except RetriesExhausted as error:
            if not isinstance(error.__cause__, ProviderError | InputError):
                raise  # a fault on our side: the model may have delivered, and another would be paid for nothing
            last = error
        except (ProviderError, RenderError) as error:
            last = error
    assert last is not None
    raise last


def names_local(data: Any, catalogue: Catalogue) -> bool:
    """Whether a model that runs here is among those that ``data`` names."""
    if not isinstance(data, Generation):
        return False
    return any(names_local_model(name, catalogue) for name in data.models)


def names_local_model(name: str, catalogue: Catalogue) -> bool:
    """Whether the model ``name`` runs here."""
    return any(model.provider == LOCAL and model.id.lower() == name.lower() for model in catalogue)


def backend_for(
    model: Model, call: LocalCall, job_type: str, catalogue: Catalogue, host: ModelHost, progress: Progress
) -> Model:
    """``model``, or what it stands for: the first backend that is installed, does the job and fits.

    ``progress`` is asked while another call runs, and ends the waiting.

    Raises:
        ModelNotInstalled: none is; the message says which command brings one.
        InsufficientVram: none fits; the first one's numbers.
    """
    if model.id != AUTO:
        return model
    preferred = str(call.parameters.get("prefer_backend", ""))
    able: list[Model] = [
        entry
        for entry in catalogue
        if entry.provider == LOCAL
        and entry.id != AUTO
        and entry.weights is not None
        and entry.weights.family == "film"
        and job_type in entry.types
        and (entry.weights.takes_text if call.image is None else entry.weights.takes_image)
    ]
    able.sort(key=lambda entry: entry.id != preferred)
    problem: RenderError | None = None
    for entry in able:
        if not has_weights(entry, host.folder):
            continue
        try:
            host.check(entry, call, progress)
        except DeviceFailed:
            raise
        except RenderError as error:
            problem = problem or error
        else:
            return entry
    if problem is not None:
        raise problem
    brought = [bringing(entry, host.folder) for entry in able if can_be_brought(entry)]
    raise ModelNotInstalled(
        f"no backend for {job_type} has weights on this worker; "
        + (f"bring them with: {brought[0]}" if brought else "give an entry of the catalogue some")
    )


def seed_of(values: Mapping[str, Any], ctx: Context) -> int:
    """The seed that the request names, else the job's own, which is the same in every attempt."""
    given = values.get("seed")
    return ctx.seed if given is None else int(given)
