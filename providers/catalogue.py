"""The catalogue: every model that a request may name, with its provider, parameters and price.

Operators add or change entries with ``[[models]]`` in the settings file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from providers.parameter import Parameter as Parameter, Scalar as Scalar
from providers.weights import REQUIRED_PARAMETERS, Weights
from schemas.errors import ConfigurationError, InvalidField, RequestError, UnknownModel
from schemas.field_problems import FieldProblem, plain_words, refusal
from schemas.nearest import did_you_mean

Price = Annotated[str, Field(pattern=r"^\d+(\.\d+)?$")]


class Model(BaseModel):
    """One model of one provider."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=128)
    #: ``pika``, ``replicate``, ``cococlip``, ``imagine``, ``elevenlabs``, ``runpod``, ``runpod-public``, ``local``.
    provider: str = Field(min_length=1, max_length=32)
    #: Job types whose requests may name this model.
    types: tuple[str, ...]
    parameters: Mapping[str, Parameter] = {}
    #: The model's name at the provider (a version, path or slug), if it is not ``id``.
    remote: str = ""
    #: Constant parameters, sent with every call; requests cannot set them.
    fixed: Mapping[str, Scalar] = {}
    #: The provider's names of parameters and inputs where they differ: ``{"image": "first_frame_image"}``. A parameter
    #: with an empty name is checked but not sent.
    names: Mapping[str, str] = {}
    #: The provider's values where they differ: ``{"resolution": {"720p": "1280*720"}}``.
    values: Mapping[str, Mapping[str, Scalar]] = {}
    #: Models that make the same at other providers. Tried in order if this one's provider certainly did not accept.
    routes: tuple[str, ...] = ()
    #: US dollars per call or per second of result, see ``price_per``; ``None`` if it is unknown.
    price: Price | None = None
    #: Prices that depend on a parameter, in place of ``price``: ``{"resolution": {"1080p": "0.15"}}``.
    prices: Mapping[str, Mapping[str, Price]] = {}
    price_per: Literal["call", "second"] = "call"
    #: Wait before the first poll, then between polls.
    first_wait_seconds: float = Field(5.0, ge=0)
    poll_seconds: float = Field(10.0, gt=0)
    #: Usual time of the work, for plans. Default: a minute.
    usual_seconds: float | None = Field(None, gt=0)
    #: Time limit from submission to result. When it is exceeded, the call is cancelled and fails.
    timeout_seconds: float = Field(1800.0, gt=0)
    owned_by: str = ""
    description: str = ""
    #: The page that documents the parameters.
    documentation: str = ""
    #: Location and settings of the weights; only local models have them.
    weights: Weights | None = None

    @model_validator(mode="after")
    def _has_required_parameters(self) -> Self:
        for name in REQUIRED_PARAMETERS[self.weights.family] if self.weights is not None else ():
            if name not in self.parameters or self.parameters[name].default is None:
                raise ValueError(f"parameters.{name} with a default is missing; each model of this family needs it")
        return self

    def converted(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters with numbers and switches that arrived as text converted, as in fields of a request."""
        known = self.parameters
        return {name: known[name].converted(value) if name in known else value for name, value in given.items()}

    def checked(self, given: Mapping[str, Any], field_path: Callable[[str], str] = "data.{}".format) -> dict[str, Any]:
        """Return the parameters to send: the given ones, validated, and the defaults of the others.

        Args:
            given: parameters by name.
            field_path: maps a parameter's name to its path in the request, for error messages.

        Raises:
            InvalidField: a parameter is unknown, not valid or missing; the message lists what the model accepts.
        """
        given = {name: value for name, value in given.items() if not self._is_absent(name, value)}
        found = [(name, self._problem(name, value)) for name, value in given.items()]
        values = {name: spec.default for name, spec in self.parameters.items() if spec.default is not None} | dict(
            given
        )
        found += [
            (name, f"{self.id} needs it")
            for name, spec in self.parameters.items()
            if spec.required and name not in values
        ]
        problems = [FieldProblem(field_path(name), text, InvalidField) for name, text in found if text is not None]
        if problems:
            raise refusal(problems)
        return values

    def _problem(self, name: str, value: Any) -> str | None:
        spec = self.parameters.get(name)
        if spec is None:
            nearest = did_you_mean(name, self.parameters.keys())
            return f"{self.id} has no such parameter{nearest}; it takes {', '.join(self.parameters) or 'none'}"
        problem = spec.problem(value)
        return None if problem is None else f"{problem} for {self.id}"

    def _is_absent(self, name: str, value: Any) -> bool:
        """Return whether the value is an empty string for a parameter that is not a text, as forms send it.

        For a text with a default it is absent too: the provider requires the text.
        """
        spec = self.parameters.get(name)
        if value != "" or spec is None:
            return False
        return spec.default is not None if spec.kind == "text" else spec.problem(value) is not None

    def sent(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters by the provider's names and with its values."""
        return {
            self.names.get(name, name): self.values.get(name, {}).get(str(value), value)
            for name, value in parameters.items()
            if self.names.get(name) != ""
        }

    @property
    def is_free(self) -> bool:
        """Whether every call costs nothing: on this installation, or by a price of 0."""
        if self.provider == "local":
            return True
        by_value = [price for prices in self.prices.values() for price in prices.values()]
        return self.price is not None and not any(map(float, (self.price, *by_value)))

    def cost(self, seconds: float | None = None, parameters: Mapping[str, Any] | None = None) -> int | None:
        """Return the expected price of one call in millionths of a US dollar; ``None`` if it is unknown."""
        given = {name: str(value) for name, value in (parameters or {}).items()}
        found = [by_value[given[name]] for name, by_value in self.prices.items() if given.get(name) in by_value]
        price = found[0] if found else self.price
        if price is None:
            return 0 if self.provider == "local" else None
        whole, _, part = price.partition(".")
        unit = int(whole) * 1_000_000 + int((part + "000000")[:6])
        if self.price_per == "call" or unit == 0:
            return unit
        return None if seconds is None else round(unit * seconds)


class Candidates(NamedTuple):
    """The models of a request, in the order of the request."""

    #: Each model with the parameters to send, defaults included.
    accepted: list[tuple[Model, dict[str, Any]]]
    #: Each name with the reason.
    rejected: list[tuple[str, RequestError]]


def billable_seconds(parameters: Mapping[str, Any], media_seconds: float | None = None) -> float | None:
    """Return the length for prices by the second: as the parameters give it, else ``media_seconds``."""
    length = parameters.get("duration", parameters.get("audio_duration"))
    return float(length) if isinstance(length, int | float) else media_seconds


class Catalogue:
    """All models by id. Lookup ignores letter case."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._models = {model.id.lower(): model for model in models}

    def __iter__(self) -> Any:
        return iter(self._models.values())

    def find(self, name: str, job_type: str) -> Model:
        """Return the model with this id.

        Raises:
            UnknownModel: it does not exist or is not for this job type; the message lists the models that are.
        """
        model = self._models.get(name.lower())
        if model is not None and job_type in model.types:
            return model
        fitting = ", ".join(sorted(m.id for m in self if job_type in m.types)) or "none"
        nearest = did_you_mean(name, [m.id for m in self if job_type in m.types])
        reason = f"does not exist{nearest}" if model is None else f"is not for {job_type}"
        raise UnknownModel(
            f"data.model: {name[:64]!r} {reason}; available for {job_type}: {fitting}", field="data.model"
        )

    def candidates(
        self,
        names: Sequence[str],
        parameters: Mapping[str, Any],
        job_type: str,
        field_path: Callable[[str], str] = "data.{}".format,
        check: Callable[[Model, Mapping[str, Any], str], None] | None = None,
    ) -> Candidates:
        """Sort the named models into those that accept the parameters and the others.

        Args:
            names: model ids in order of preference.
            parameters: the parameters that the request names.
            job_type: the job type that the models must be listed under.
            field_path: maps a parameter's name to its path in the request, for error messages.
            check: raises ``RequestError`` if a model cannot run the job with these values.
        """
        accepted: list[tuple[Model, dict[str, Any]]] = []
        rejected: list[tuple[str, RequestError]] = []
        for name in names:
            try:
                model = self.find(name, job_type)
                values = model.checked(model.converted(parameters), field_path)
                if check is not None:
                    check(model, values, job_type)
            except RequestError as error:
                rejected.append((name, error))
            else:
                accepted.append((model, values))
        return Candidates(accepted, rejected)

    def with_routes(
        self,
        names: Sequence[str],
        parameters: Mapping[str, Any],
        job_type: str,
        field_path: Callable[[str], str] = "data.{}".format,
    ) -> Candidates:
        """Sort the named models as ``candidates`` does, each accepted one followed by its routes.

        A route that the request names itself keeps its place.
        """
        named = self.candidates(names, parameters, job_type, field_path)
        found = Candidates([], list(named.rejected))
        taken = {name.lower() for name in names}
        for model, values in named.accepted:
            routes = [name for name in model.routes if name.lower() not in taken]
            taken.update(name.lower() for name in routes)
            others = self.candidates(routes, parameters, job_type, field_path)
            found.accepted.extend([(model, values), *others.accepted])
            found.rejected.extend(others.rejected)
        return found

    @property
    def free_models(self) -> frozenset[str]:
        """The ids of the models whose calls cost nothing."""
        return frozenset(model.id for model in self if model.is_free)

    def routes_of(self, names: Iterable[str]) -> set[str]:
        """Return the ids, in lower case, of the routes of these models."""
        found = (self._models.get(name.lower()) for name in names)
        return {route.lower() for model in found if model is not None for route in model.routes}

    def with_entries(self, entries: Sequence[Mapping[str, Any]]) -> Catalogue:
        """Return a catalogue with the operator's entries added. An entry with a known id overrides single fields.

        Raises:
            ConfigurationError: an entry is not valid; the message names it.
        """
        models = dict(self._models)
        for number, entry in enumerate(entries, start=1):
            name = str(entry.get("id", ""))
            known = models.get(name.lower())
            try:
                models[name.lower()] = Model.model_validate(_changed(known.model_dump() if known else {}, entry))
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                field_path = ".".join(str(part) for part in first["loc"])
                problem = plain_words(first)
                raise ConfigurationError(
                    f"[[models]] entry {number} ({name or 'no id'}): {f'{field_path}: ' if field_path else ''}{problem}"
                ) from None
        return Catalogue(models.values())


def _changed(known: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``known`` updated with ``entry``, merging ``weights`` field by field. A new ``price`` is the only one."""
    merged = {**known, **entry}
    if "price" in entry and "prices" not in entry:
        merged["prices"] = {}
    if isinstance(known.get("weights"), Mapping) and isinstance(entry.get("weights"), Mapping):
        merged["weights"] = {**known["weights"], **entry["weights"]}
    return merged
