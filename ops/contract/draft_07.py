"""Conversion of JSON Schema 2020-12 to draft 07, AsyncAPI's default dialect: no ``$defs``."""

from __future__ import annotations

from typing import Any

_DEFS = "#/$defs/"


def to_draft_07(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema as ``name`` and each of its ``$defs`` as a separate schema, all in draft 07.

    Raises:
        ValueError: If a definition has the same name as the schema itself.
    """
    definitions = schema.get("$defs", {})
    if name in definitions:
        raise ValueError(f"{name}: a definition has the same name as the schema")
    own = {key: item for key, item in schema.items() if key != "$defs"}
    return {name: _translated(own)} | {key: _translated(item) for key, item in definitions.items()}


def _translated(value: Any) -> Any:
    if isinstance(value, list):
        return [_translated(item) for item in value]
    if not isinstance(value, dict):
        return value
    converted: dict[str, Any] = {}
    for key, item in value.items():
        if key == "$ref" and isinstance(item, str):
            converted[key] = f"#/components/schemas/{item.removeprefix(_DEFS)}"
        else:
            converted[key] = _translated(item)
    return converted
