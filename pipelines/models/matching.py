"""The models of a request that accept its parameters. Checked on admission, in plans and before each call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from providers.catalogue import Catalogue, Model
from schemas.errors import ConsentRequired, InvalidField, UnknownModel, UnsupportedOption
from schemas.generation import Generation


def check_models(data: Any, job_type: str, catalogue: Catalogue) -> None:
    """Check that at least one model of ``data`` accepts its parameters.

    Raises:
        RequestError: None does. The error is that of the model; for several models it lists each reason.
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
    """Return the models that accept the parameters, in the given order, each with the parameters to send.

    Args:
        field_path: Maps a parameter's name to its path in the request, for error messages.

    Raises:
        RequestError: No model accepts them.
    """
    found, problems = catalogue.candidates(names, parameters, job_type, field_path, check=_check_local)
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
    """Check what applies to local models only: consent, and whether the model can start from text or an image.

    Raises:
        RequestError: The request lacks the consent, or the model cannot do this job type.
    """
    if "lawful_use_consent" in model.parameters and values.get("lawful_use_consent") is not True:
        raise ConsentRequired(field="data.lawful_use_consent")
    if job_type == "text-to-video" and model.weights is not None and not model.weights.takes_text:
        raise UnsupportedOption(
            f"data.model: {model.id} needs an image; use the job type image-to-video", field="data.model"
        )
    if job_type == "image-to-video" and model.weights is not None and not model.weights.takes_image:
        raise UnsupportedOption(f"data.model: {model.id} does not accept an image; use wan or auto", field="data.model")
