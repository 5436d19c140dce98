"""Local models: which models of a request run on this worker, and which backend ``auto`` selects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.context import Context, Progress
from pipelines.models.local_names import LOCAL
from providers.catalogue import Catalogue, Model
from providers.local.base import LocalCall
from providers.local.host import ModelHost, in_low_memory
from providers.local.weight_files import download_command, has_weights, is_downloadable
from schemas.errors import DeviceFailed, ModelNotInstalled, RenderError

#: The model name that selects the best installed backend.
AUTO = "auto"


def choose_backend(
    model: Model, call: LocalCall, job_type: str, catalogue: Catalogue, host: ModelHost, progress: Progress
) -> Model:
    """Return ``model`` itself, or for ``auto`` the first backend that is installed, does the job and fits in memory.

    A backend that fits comes before one that fits in low-memory mode only, unless the request prefers it. If none is
    installed and the host may download weights, the first one that may fit is returned.

    ``progress`` is called while the host waits for another call; it raises to end the wait.

    Raises:
        ModelNotInstalled: No backend is installed; the message names the command that downloads one.
        InsufficientVram: No installed backend fits; the lowest number of the first one.
    """
    if model.id != AUTO:
        return model
    able = _backends(call, job_type, catalogue)
    problems: dict[str, RenderError] = {}
    for backend, in_mode in _modes([item for item in able if has_weights(item, host.folder)], call):
        try:
            host.check(backend, in_mode, progress)
        except DeviceFailed:
            raise
        except RenderError as error:
            problems[backend.id] = error
        else:
            return backend
    if problems:
        raise next(iter(problems.values()))
    return _to_download(able, call, job_type, host)


def _to_download(able: Sequence[Model], call: LocalCall, job_type: str, host: ModelHost) -> Model:
    """Return the first backend that the host may download and that may fit.

    Raises:
        ModelNotInstalled: There is none; the message names the command that downloads one.
    """
    downloadable = [backend for backend in able if is_downloadable(backend)]
    if host.installs:
        for backend, in_mode in _modes(downloadable, call):
            if host.could_fit(backend, in_mode):
                return backend
    commands = [download_command(backend) for backend in downloadable]
    raise ModelNotInstalled(
        f"no backend for {job_type} has weights on this worker; "
        + (f"download them with: {commands[0]}" if commands else "add weights to an entry of the catalogue")
    )


def _modes(backends: Sequence[Model], call: LocalCall) -> list[tuple[Model, LocalCall]]:
    """Return each backend with the call as it is and in low-memory mode, in the order in which they are tried."""
    tried = [(backend, call) for backend in backends]
    lower = [(backend, low) for backend in backends if (low := in_low_memory(backend, call)) is not None]
    # The host chooses the mode again: a backend that is returned because of its lower one does not fit in the other.
    preferred = [item for item in tried + lower if item[0].id == call.parameters.get("prefer_backend")]
    return preferred + [item for item in tried + lower if item not in preferred]


def _backends(call: LocalCall, job_type: str, catalogue: Catalogue) -> list[Model]:
    """Return the backends that can do the job, the one that the request prefers first."""
    preferred = str(call.parameters.get("prefer_backend", ""))
    able = [model for model in catalogue if job_type in model.types and _makes_film(model, call)]
    return sorted(able, key=lambda model: bool(model.id != preferred))


def _makes_film(model: Model, call: LocalCall) -> bool:
    weights = model.weights
    if model.provider != LOCAL or model.id == AUTO or weights is None or weights.family != "film":
        return False
    return weights.takes_text if call.image is None else weights.takes_image


def seed_of(values: Mapping[str, Any], ctx: Context) -> int:
    """Return the request's seed, or the job's own, which is the same in every attempt."""
    given = values.get("seed")
    return ctx.seed if given is None else int(given)
