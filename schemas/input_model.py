"""The base of every model that a request is validated with: a field without a value is a field that is left out."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


@dataclass(frozen=True, slots=True)
class _NotText:
    """Marks the annotation of a ``str`` that is not a text."""


#: In the annotation of a ``str`` that is a name, a code or a URI, such as a colour or a model. If it is optional, an
#: empty one is absent, as an empty number is.
NOT_TEXT = _NotText()


class InputModel(BaseModel):
    """A part of a request.

    ``null`` for an optional field means that it is absent: serialisers of many languages write it for every property
    that is not set. The same holds for an empty string, which forms send, unless the field is a text. Required fields
    are validated as they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: The fields that the model checks together after each is valid by itself.
    CHECKED_TOGETHER: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def optional_fields(cls, data: Mapping[str, Any]) -> Mapping[str, bool]:
        """Return the fields that may be absent from ``data``, each with whether it is a text."""
        return _optional_fields(cls)

    @model_validator(mode="before")
    @classmethod
    def _without_absent_fields(cls, data: Any) -> Any:
        if not isinstance(data, dict) or all(data.values()):
            return data  # nearly every request: the check costs less than a microsecond
        empty = [name for name, value in data.items() if not value and (value is None or value == "")]
        if not empty:
            return data
        optional = cls.optional_fields(data)
        absent = {name for name in empty if name in optional and (data[name] is None or not optional[name])}
        return {name: value for name, value in data.items() if name not in absent}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the model's JSON Schema, in which every optional field may be null."""
        schema = handler(core_schema)
        made = handler.resolve_ref_schema(schema)
        properties = made.get("properties", {})
        properties |= {n: _nullable(item) for n, item in properties.items() if n not in made.get("required", ())}
        return schema


@functools.cache
def _optional_fields(model: type[BaseModel]) -> Mapping[str, bool]:
    return {name: _is_text(field) for name, field in model.model_fields.items() if not field.is_required()}


def _is_text(field: FieldInfo) -> bool:
    return NOT_TEXT not in field.metadata and _may_be_text(field.annotation)


def _may_be_text(annotation: Any) -> bool:
    if annotation is str:
        return True
    if NOT_TEXT in getattr(annotation, "__metadata__", ()):
        return False
    # An argument of a list or a Literal is not the type of the field itself.
    return get_origin(annotation) in (Annotated, Union, UnionType) and any(map(_may_be_text, get_args(annotation)))


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a property that may be null as well."""
    members = schema.get("anyOf", [schema])
    if {"type": "null"} in members:
        return schema
    about = {name: item for name, item in schema.items() if name in ("default", "description")}
    if "anyOf" not in schema:
        members = [{name: item for name, item in schema.items() if name not in about}]
        return {"anyOf": [*members, {"type": "null"}], **about}
    return {**schema, "anyOf": [*members, {"type": "null"}]}
