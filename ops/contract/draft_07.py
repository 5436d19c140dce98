"""Conversion of JSON Schema 2020-12 to draft 07, AsyncAPI's default dialect: no ``$defs``, no ``dependentRequired``."""

from __future__ import annotations

from typing import Any

_PARTS = "#/$defs/"


def hoisted(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema as ``name`` and each of its ``$defs`` as a separate schema, all in draft 07.

    Raises:
        ValueError: If a definition has the same name as the schema itself.
    """
    parts = schema.get("$defs", {})
    if name in parts:
        raise ValueError(f"{name}: a definition has the same name as the schema")
    whole = {key: item for key, item in schema.items() if key != "$defs"}
    return {name: _translated(whole)} | {part: _translated(item) for part, item in parts.items()}


def _translated(value: Any) -> Any:
    if isinstance(value, list):
        return [_translated(item) for item in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for key, item in value.items():
        if key == "$ref" and isinstance(item, str):
            made[key] = f"#/components/schemas/{item.removeprefix(_PARTS)}"
        elif key == "dependentRequired":
            made["dependencies"] = item
        else:
            made[key] = _translated(item)
    return made
