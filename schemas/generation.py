"""Common fields of requests that name a model: one model or several in order of preference, and their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from schemas.errors import InvalidField
from schemas.input_model import NOT_TEXT, InputModel

Scalar = str | int | float | bool
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=128)]


def _check_distinct(value: str | list[str]) -> str | list[str]:
    if isinstance(value, str):
        return value
    if len({name.lower() for name in value}) < len(value):
        raise ValueError("names a model twice")
    # ["a"] and "a" mean the same, so they must be the same request.
    return value[0] if len(value) == 1 else value


def _integral_as_int(value: float) -> float:
    return int(value) if value == int(value) else value


#: One model, or several in order of preference: the first available one is used.
ModelNames = Annotated[
    ModelName | Annotated[list[ModelName], Field(min_length=1, max_length=8, json_schema_extra={"uniqueItems": True})],
    AfterValidator(_check_distinct),
    NOT_TEXT,
]
Seconds = Annotated[
    int | float,
    # Pydantic does not publish the limits of a union in the JSON Schema.
    Field(gt=0, le=3600, allow_inf_nan=False, json_schema_extra={"exclusiveMinimum": 0, "maximum": 3600}),
    AfterValidator(_integral_as_int),
]
Resolution = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z:x]{1,16}$"), NOT_TEXT]
AspectRatio = Annotated[str, StringConstraints(pattern=r"^\d{1,2}:\d{1,2}$"), NOT_TEXT]
Seed = Annotated[int, Field(ge=0, le=2**53 - 1)]


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in value.items() if item is not None}


Parameters = Annotated[
    dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")], Scalar | None],
    Field(max_length=32),
    AfterValidator(_without_nulls),
]
#: Parameters of video models that run on the worker itself. Names are those of the Local Video Generation Service.
Fps = Annotated[int | None, Field(ge=1, le=60, description="Frames a second, of local models. Default: 24.")]
NumFrames = Annotated[int | None, Field(ge=8, le=240, description="Frames, of local models. Default: 64.")]
FilmWidth = Annotated[
    int | None, Field(ge=256, le=1920, multiple_of=8, description="Pixels, of local models. Default: 720.")
]
FilmHeight = Annotated[
    int | None, Field(ge=256, le=1080, multiple_of=8, description="Pixels, of local models. Default: 720.")
]
Backend = Annotated[
    str | None,
    Field(max_length=128, description="The backend that the model auto tries first. Empty: the best."),
    NOT_TEXT,
]
LowVram = Annotated[
    bool | None, Field(description="Keep a local model's weights in main memory: less GPU memory, slower.")
]
Consent = Annotated[bool | None, Field(description="Must be true for local models: you confirm lawful use.")]
PARAMETERS_HELP = "Further parameters of the model. `telecine models` prints their names."


class Generation(InputModel):
    """Base of ``data`` for requests that a model of the catalogue executes."""

    model_config = ConfigDict(allow_inf_nan=False)

    #: Fields that are not parameters of a model.
    NON_PARAMETERS: ClassVar[frozenset[str]] = frozenset(("model", "parameters", "image", "audio"))

    @property
    def models(self) -> list[str]:
        """Model names in order of preference."""
        named: str | list[str] = getattr(self, "model")  # noqa: B009 - each type has its own default
        return [named] if isinstance(named, str) else list(named)

    def explicit_parameters(self) -> dict[str, Any]:
        """Return the model parameters that the request sets, without defaults of the model.

        Raises:
            InvalidField: ``parameters`` contains a name that is a field of ``data`` itself.
        """
        own = {name: getattr(self, name) for name in type(self).model_fields if name not in self.NON_PARAMETERS}
        named = {name: value for name, value in own.items() if value is not None}
        further: Mapping[str, Scalar] = getattr(self, "parameters", {})
        for name in further:
            if name in type(self).model_fields:
                raise InvalidField(f"data.parameters.{name}: use data.{name} instead", field=f"data.parameters.{name}")
        return {**named, **further}

    def field_path(self, name: str) -> str:
        """Return the path of a model parameter in the request: ``data.duration``, ``data.parameters.style``."""
        fields = type(self).model_fields
        return f"data.parameters.{name}" if name not in fields and "parameters" in fields else f"data.{name}"
