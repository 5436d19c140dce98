"""The one way to make media with a model: the first available candidate makes them, at a provider or on this worker."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pipelines.context import Context, ModelCall
from pipelines.models.local_names import LOCAL, names_local
from pipelines.models.matching import candidates
from providers.catalogue import Model
from schemas.errors import (
    DeviceFailed,
    InputError,
    ProviderError,
    ProviderOutcomeUnknown,
    RenderError,
    RenderInterrupted,
    RetriesExhausted,
    TelecineError,
)
from schemas.generation import Generation
from schemas.media import InputFile, StoredArtifact

#: One attempt with one local model or one group of remote models. Takes the step name.
Attempt = Callable[[str], Sequence[StoredArtifact]]
_Candidate = tuple[Model, dict[str, Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class LocalTask:
    """The work of one local model."""

    model: Model
    #: The parameters of the request and the model's defaults for the others.
    parameters: Mapping[str, Any]
    inputs: Mapping[str, InputFile]
    job_type: str


class Output(Protocol):
    """A kind of result, and the two ways to make it. Each returns stored files, the most important first."""

    def call_remote(self, ctx: Context, step: str, call: ModelCall) -> Sequence[StoredArtifact]:
        """Make it with remote models."""
        ...

    def run_local(self, ctx: Context, step: str, task: LocalTask) -> Sequence[StoredArtifact]:
        """Make it with a local model."""
        ...


def generate(
    ctx: Context,
    step: str,
    job_type: str,
    data: Generation,
    output: Output,
    *,
    parameters: Mapping[str, Any] | None = None,
    inputs: Mapping[str, InputFile] | None = None,
) -> Sequence[StoredArtifact]:
    """Make ``output`` with the first available model of ``data``, in the request's order of preference.

    Remote models that follow one another share one call. ``parameters`` are those of ``data`` by default.

    Raises:
        ProviderError, RenderError: No model returned a result; the reason of the last one.
    """
    call = ModelCall(data.models, data.explicit_parameters() if parameters is None else parameters, inputs or {})
    if not names_local(data, ctx.catalogue):
        return output.call_remote(ctx, step, call)

    def attempt(group: Sequence[_Candidate]) -> Attempt:
        model, values = group[0]
        if model.provider == LOCAL:
            task = LocalTask(model, values, call.inputs, job_type)
            return lambda name: output.run_local(ctx, name, task)
        remote = dataclasses.replace(call, models=[item.id for item, _ in group])
        return lambda name: output.call_remote(ctx, name, remote)

    able = candidates(data.models, call.parameters, job_type, ctx.catalogue, data.field_path)
    return run_first_available(step, [attempt(group) for group in _groups(able)])


def run_first_available(step: str, attempts: Sequence[Attempt]) -> Sequence[StoredArtifact]:
    """Return the result of the first attempt that succeeds. The attempts after the first are steps of their own.

    Raises:
        TelecineError: The error of the last attempt, or one after which no other model may be tried.
    """
    last: TelecineError | None = None
    for number, attempt in enumerate(attempts):
        try:
            return attempt(step if number == 0 else f"{step}-{number + 1}")
        except (DeviceFailed, RenderInterrupted):
            raise  # A later attempt can run this model. Another model would differ, and might be paid for.
        except ProviderOutcomeUnknown:
            raise  # An operator gave this call up, and the job with it.
        except RetriesExhausted as error:
            if not isinstance(error.__cause__, ProviderError | InputError):
                raise  # Our own fault: the model may have delivered, and a second one would be paid for nothing.
            last = error
        except (ProviderError, RenderError) as error:
            last = error
    assert last is not None
    raise last


def _groups(able: Sequence[_Candidate]) -> list[list[_Candidate]]:
    """Group consecutive remote models; each local model is a group of its own."""
    groups: list[list[_Candidate]] = []
    for candidate in able:
        if not groups or LOCAL in (candidate[0].provider, groups[-1][-1][0].provider):
            groups.append([])
        groups[-1].append(candidate)
    return groups
