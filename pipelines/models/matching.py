"""Which of the models that a request names can carry it out; looked at at the door, and again in plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from providers.catalogue import Catalogue, Model
from schemas.errors import ConsentRequired, InvalidField, RequestError, UnknownModel, UnsupportedOption
from schemas.generation import Generation


def check_models(data: Any, job_type: str, catalogue: Catalogue) -> None:
    """Nothing, if at least one of the models that ``data`` names takes its parameters.

    Raises:
        RequestError: none does. One model's reason is told as it is; of several each is named with its own.
    """
    assert isinstance(data, Generation)
    candidates(data.models, data.explicit_parameters(), job_type, catalogue, data.field_path)


def candidates(
    names: Sequence[str],
    parameters: Mapping[str, Any],
    job_type: str,
    catalogue: Catalogue,
    field_path: Callable[[str], str] = "data.{}".format,
) -> list[tuple[Model, dict[str, Any]]]:
    """The models that take the parameters, in the order given, each with what it would be sent.

    Args:
        field_path: where the request names a parameter.

    Raises:
        RequestError: there is none.
    """
    found: list[tuple[Model, dict[str, Any]]] = []
    problems: list[tuple[str, RequestError]] = []
    for name in names:
        try:
            model = catalogue.find(name, job_type)
            values = model.checked(parameters, field_path)
            _check_local(model, values, job_type)
            found.append((model, values))
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


def _check_local(model: Model, values: Mapping[str, Any], job_type: str) -> None:
    """What only local models have: consent, and whether they can begin with a picture."""
    if "lawful_use_consent" in model.parameters and values.get("lawful_use_consent") is not True:
        raise ConsentRequired(field="data.lawful_use_consent")
    if job_type == "text-to-video" and model.weights is not None and not model.weights.takes_text:
        raise UnsupportedOption(
            f"data.model: {model.id} begins with a picture; send an image-to-video", field="data.model"
        )
    if job_type == "image-to-video" and model.weights is not None and not model.weights.takes_image:
        raise UnsupportedOption(
            f"data.model: {model.id} does not take a reference image; take wan or auto", field="data.model"
        )
