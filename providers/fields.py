"""Look up fields in providers' JSON responses, which have the same field in different places."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def found(document: Any, paths: Iterable[str]) -> Any:
    """Return the first value found at ``paths``, such as ``data.response.url`` or ``videos.0.id``.

    ``None``, an empty string and an empty list count as missing.
    """
    for path in paths:
        value = document
        for name in path.split("."):
            value = _inside(value, name)
        if value is not None and value != "" and value != []:
            return value
    return None


def text(document: Any, paths: Iterable[str]) -> str:
    """Return ``found`` as stripped text; numbers become text, anything else the empty string."""
    value = found(document, paths)
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _inside(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and name.isdigit():
        return value[int(name)] if int(name) < len(value) else None
    return None
