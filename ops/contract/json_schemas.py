"""JSON Schemas (2020-12) of requests, control messages, callbacks and manifests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, create_model
from pydantic.config import JsonDict
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from ops.contract.events import EVENTS, event_model, event_union
from ops.contract.game import GAME, SCHEMA
from schemas.envelope import Cancel, Request
from schemas.job_types import JOB_TYPES
from schemas.manifest import Manifest
from schemas.parse import CANCEL

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _SchemaGenerator(GenerateJsonSchema):
    """A schema generator that omits field titles and keeps the order of the model."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def dict_schema(self, schema: core_schema.DictSchema) -> dict[str, Any]:
        made = super().dict_schema(schema)
        # Names that match no pattern are refused.
        return made | {"additionalProperties": False} if "patternProperties" in made else made

    def sort(self, value: Any, parent_key: str | None = None) -> Any:
        return value


def schema_names() -> list[str]:
    """Return every name that ``schema_of`` accepts, job types first."""
    return [*sorted(JOB_TYPES), *_OTHERS]


def schema_of(name: str) -> dict[str, Any]:
    """Return the JSON Schema of a complete message or of the manifest.

    Raises:
        KeyError: If the name is unknown.
    """
    if name in JOB_TYPES:
        return _schema(f"request:{name}", f"Telecine request: {name}", request_model(name))
    return _OTHERS[name]()


def request_model(name: str) -> type[Request]:
    """Return the envelope model with ``type`` and ``data`` bound to one job type."""
    fields: dict[str, Any] = {"type": (Literal[name], ...), "data": (JOB_TYPES[name], ...)}
    text = f"One request of type {name}, as sent to the queue."
    return create_model("Request", __base__=_PublishedRequest, __doc__=text, **fields)


def _cloud_event_pair(schema: JsonDict) -> None:
    """Require both ``specversion`` and ``source`` (a CloudEvent) or neither (a plain request)."""
    specversion, source = (_present(name) for name in ("specversion", "source"))
    schema["allOf"] = [{"if": specversion, "then": source}, {"if": source, "then": specversion}]


def _present(name: str) -> JsonDict:
    return {"required": [name], "properties": {name: {"type": "string"}}}


class _PublishedRequest(Request):
    model_config = ConfigDict(json_schema_extra=_cloud_event_pair)


def control_model() -> type[BaseModel]:
    """Return the model of the control message ``job.cancel``."""
    fields: dict[str, Any] = {"type": (Literal[CANCEL], ...), "data": (Cancel, ...)}
    return create_model("Control", __doc__="A control message: cancels the job with this id.", **fields)


def allow_new_fields(value: Any) -> Any:
    """Return the schema without ``additionalProperties: false``: receivers must ignore fields added later."""
    if isinstance(value, dict):
        return {
            name: allow_new_fields(item)
            for name, item in value.items()
            if (name, item) != ("additionalProperties", False)
        }
    return [allow_new_fields(item) for item in value] if isinstance(value, list) else value


def model_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the model's schema, with nested models under ``$defs``."""
    return model.model_json_schema(schema_generator=_SchemaGenerator)


def _schema(identity: str, title: str, model: type[BaseModel]) -> dict[str, Any]:
    return _with_header(identity, title, model_schema(model))


def _with_header(identity: str, title: str, made: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": _DIALECT, "$id": f"urn:telecine:contract:{identity}", "title": title} | {
        name: item for name, item in made.items() if name != "title"
    }


def _event(name: str) -> dict[str, Any]:
    made = allow_new_fields(model_schema(event_model(name)))
    return _with_header(f"callback:{name}", f"Telecine callback: {name}", made)


def _events() -> dict[str, Any]:
    made = allow_new_fields(event_union().json_schema(schema_generator=_SchemaGenerator))
    return _with_header("callback", "Telecine callback, format standard", made)


def _manifest() -> dict[str, Any]:
    return _with_header("manifest", "Telecine manifest.json", allow_new_fields(model_schema(Manifest)))


def _of_event(name: str) -> Callable[[], dict[str, Any]]:
    return lambda: _event(name)


_OTHERS: dict[str, Callable[[], dict[str, Any]]] = {
    CANCEL: lambda: _schema(CANCEL, "Telecine control message: job.cancel", control_model()),
    "callback": _events,
    **{name: _of_event(name) for name in EVENTS},
    GAME: lambda: _with_header(GAME, "Telecine callback, format game", SCHEMA),
    "manifest": _manifest,
}
