"""Which of the models that a request names can carry it out; looked at at the door, and again in plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from providers.catalogue import Catalogue, Model
from schemas.errors import InvalidField, RequestError, UnknownModel, UnsupportedOption
from schemas.generation import Generation

#: Models that will run on a worker's own GPU.
LOCAL_MODELS = frozenset(("mochi", "opensora", "auto"))


def check_models(data: Any, job_type: str, catalogue: Catalogue) -> None:
    """Nothing, if at least one of the models that ``data`` names takes its parameters.

    Raises:
        RequestError: none does. One model's reason is told as it is; of several each is named with its own.
    """
    assert isinstance(data, Generation)
    fitting(data.models, data.given(), job_type, catalogue, data.place)


def fitting(
    names: list[str],
    parameters: Mapping[str, Any],
    job_type: str,
    catalogue: Catalogue,
    place: Callable[[str], str] = "data.{}".format,
) -> list[tuple[Model, dict[str, Any]]]:
    """The models that take the parameters, in the order given, each with what it would be sent.

    Args:
        place: where the request names a parameter.

    Raises:
        RequestError: there is none.
    """
    found: list[tuple[Model, dict[str, Any]]] = []
    problems: list[tuple[str, RequestError]] = []
    for name in names:
        try:
            model = _find(name, job_type, catalogue)
            found.append((model, model.checked(parameters, place)))
        except RequestError as error:
            problems.append((name, error))
    if found:
        return found
    first = problems[0][1]
    if len(problems) == 1:
        raise first
    if all(isinstance(error, UnknownModel) for _, error in problems):
        raise first
    reasons = "; ".join(error.message for _, error in problems)
    raise InvalidField(f"data.model: none of {', '.join(names)} can do it: {reasons}"[:1000], field="data.model")


def _find(name: str, job_type: str, catalogue: Catalogue) -> Model:
    try:
        return catalogue.find(name, job_type)
    except UnknownModel:
        if name.lower() in LOCAL_MODELS:
            raise UnsupportedOption(
                f"data.model: {name!r} is a local model, which this worker does not have yet; "
                "`telecine models` prints those it has",
                field="data.model",
            ) from None
        raise
