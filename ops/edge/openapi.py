"""Descriptions of bodies for OpenAPI. The handlers read the bodies themselves, to check them while they come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from ops.edge.forms import JSON, MULTIPART, URLENCODED

_FILE = {"type": "string", "format": "binary"}


def json_body(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a JSON body."""
    return {"requestBody": {"required": True, "content": {JSON: {"schema": dict(schema)}}}}


def schema_of(model: type[BaseModel], names: Sequence[str], required: Sequence[str] = ()) -> dict[str, Any]:
    """Return the JSON Schema of some fields of a model."""
    properties = model.model_json_schema()["properties"]
    return {"type": "object", "properties": {name: properties[name] for name in names}, "required": list(required)}


def form_body(
    model: type[BaseModel], names: Sequence[str], files: Sequence[str], required: Sequence[str], *, plain: bool = False
) -> dict[str, Any]:
    """Return the description of a form with files; ``plain``: also without files, as an urlencoded body."""
    schema = schema_of(model, names, required)
    schema["properties"] |= dict.fromkeys(files, _FILE)
    kinds = (MULTIPART, URLENCODED) if plain else (MULTIPART,)
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}}
