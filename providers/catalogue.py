"""The catalogue: every model that can be asked for, what it takes, who makes it and what it costs.

Operators add entries, or change one of these, with ``[[models]]`` in the settings file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from providers.weights import SETTLED, Weights
from schemas.errors import ConfigurationError, InvalidField, UnknownModel

Scalar = str | int | float | bool


class Parameter(BaseModel):
    """One parameter of a model: a choice, a range, a text or a switch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["choice", "integer", "number", "text", "switch"] = "text"
    choices: tuple[Scalar, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: int | None = None
    #: Shortest and longest text in characters.
    shortest: int | None = None
    longest: int | None = None
    required: bool = False
    default: Scalar | None = None
    description: str = ""

    def problem(self, value: Any) -> str | None:
        """What is wrong with ``value``, in words that list what it takes; ``None`` if nothing is."""
        if self.kind == "choice":
            fits = any(
                value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in self.choices
            )
            return None if fits else f"must be one of {', '.join(str(choice) or 'empty' for choice in self.choices)}"
        if self.kind == "switch":
            return None if isinstance(value, bool) else "must be true or false"
        if self.kind == "text":
            if not isinstance(value, str):
                return "must be a text"
            if self.shortest is not None and len(value.strip()) < self.shortest:
                return f"must have at least {self.shortest:,} characters"
            too_long = self.longest is not None and len(value) > self.longest
            return f"must have at most {self.longest:,} characters" if too_long else None
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole or (self.kind == "number" and isinstance(value, float))):
            return "must be a whole number" if self.kind == "integer" else "must be a number"
        return self._out_of_range(value)

    def _out_of_range(self, value: float) -> str | None:
        low, high = self.minimum, self.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            least, most = _shown(low), _shown(high)
            return f"must be {'at least' if high is None else 'from'} {least}{'' if high is None else f' to {most}'}"
        if self.multiple_of is not None and value % self.multiple_of:
            return f"must be a multiple of {self.multiple_of}"
        return None


def _shown(limit: float | None) -> str:
    if limit is None:
        return ""
    return f"{limit:,.0f}" if float(limit).is_integer() else f"{limit:g}"


class Model(BaseModel):
    """One model of one provider."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=128)
    #: ``pika``, ``replicate``, ``cococlip``, ``imagine``, ``elevenlabs``, ``runpod``, ``local``.
    provider: str = Field(min_length=1, max_length=32)
    #: The job types that may name it.
    types: tuple[str, ...]
    parameters: Mapping[str, Parameter] = {}
    #: What the provider calls it, if not ``id``: a version, a path, a slug.
    remote: str = ""
    #: Constant parameters of this entry, sent with every call and not open to requests.
    fixed: Mapping[str, Scalar] = {}
    #: What the provider calls parameters and inputs, where it has other names: ``{"image": "first_frame_image"}``.
    names: Mapping[str, str] = {}
    #: US dollars per call; per second of result where ``price_per`` says so.
    price: str = Field("0.00", pattern=r"^\d+(\.\d+)?$")
    price_per: Literal["call", "second"] = "call"
    #: How long to wait before the first poll, and between polls.
    first_wait_seconds: float = Field(5.0, ge=0)
    poll_seconds: float = Field(10.0, gt=0)
    #: From submission to result; after it the call is cancelled and has failed.
    timeout_seconds: float = Field(1800.0, gt=0)
    owned_by: str = ""
    description: str = ""
    #: Of a local model: where its weights are and how it runs.
    weights: Weights | None = None

    @model_validator(mode="after")
    def _settled(self) -> Self:
        for name in SETTLED[self.weights.family] if self.weights is not None else ():
            if name not in self.parameters or self.parameters[name].default is None:
                raise ValueError(f"parameters.{name} with a default is missing; each model of this family needs it")
        return self

    def checked(self, given: Mapping[str, Any], place: Callable[[str], str] = "data.{}".format) -> dict[str, Any]:
        """The parameters to send: what was given, checked, and the defaults.

        Args:
            place: where a request names the parameter.

        Raises:
            InvalidField: one does not fit; the message lists what the model takes.
        """
        for name, value in given.items():
            spec = self.parameters.get(name)
            if spec is None:
                raise InvalidField(
                    f"{place(name)}: {self.id} has no such parameter; it takes {', '.join(self.parameters) or 'none'}",
                    field=place(name),
                )
            if (problem := spec.problem(value)) is not None:
                raise InvalidField(f"{place(name)}: {problem} for {self.id}", field=place(name))
        values = {name: spec.default for name, spec in self.parameters.items() if spec.default is not None} | dict(
            given
        )
        for name, spec in self.parameters.items():
            if spec.required and name not in values:
                raise InvalidField(f"{place(name)}: {self.id} needs it", field=place(name))
        return values

    def cost(self, seconds: float | None = None) -> int:
        """The expected price of one call in millionths of a US dollar."""
        whole, _, part = self.price.partition(".")
        unit = int(whole) * 1_000_000 + int((part + "000000")[:6])
        return unit if self.price_per == "call" else round(unit * (seconds or 0.0))


class Catalogue:
    """All models by id. Ids are found in any letter case."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._models = {model.id.lower(): model for model in models}

    def __iter__(self) -> Any:
        return iter(self._models.values())

    def find(self, name: str, job_type: str) -> Model:
        """The model.

        Raises:
            UnknownModel: there is none of this name, or it is not for this job type; the message lists those.
        """
        model = self._models.get(name.lower())
        if model is not None and job_type in model.types:
            return model
        fitting = ", ".join(sorted(m.id for m in self if job_type in m.types)) or "none"
        reason = "does not exist" if model is None else f"is not for {job_type}"
        raise UnknownModel(
            f"data.model: {name[:64]!r} {reason}; for {job_type} there are: {fitting}", field="data.model"
        )

    def with_entries(self, entries: Sequence[Mapping[str, Any]]) -> Catalogue:
        """This catalogue with the operator's entries; one with a known id changes what it names.

        Raises:
            ConfigurationError: an entry is wrong; the message names it.
        """
        models = dict(self._models)
        for number, entry in enumerate(entries, start=1):
            name = str(entry.get("id", ""))
            known = models.get(name.lower())
            try:
                models[name.lower()] = Model.model_validate(_changed(known.model_dump() if known else {}, entry))
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                place = ".".join(str(part) for part in first["loc"])
                told = first["msg"].removeprefix("Value error, ")
                raise ConfigurationError(
                    f"[[models]] entry {number} ({name or 'no id'}): {f'{place}: ' if place else ''}{told}"
                ) from None
        return Catalogue(models.values())


def _changed(known: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """``known`` with what ``entry`` names; of weights, too, an entry names only what it changes."""
    merged = {**known, **entry}
    if isinstance(known.get("weights"), Mapping) and isinstance(entry.get("weights"), Mapping):
        merged["weights"] = {**known["weights"], **entry["weights"]}
    return merged
