"""Fields of vendors' answers, which stand in different places from dialect to dialect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def found(document: Any, paths: Iterable[str]) -> Any:
    """The first of ``paths``, such as ``data.response.url`` or ``videos.0.id``, that leads to something.

    ``None``, an empty text and an empty list are nothing.
    """
    for path in paths:
        value = document
        for name in path.split("."):
            value = _inside(value, name)
        if value is not None and value != "" and value != []:
            return value
    return None


def text(document: Any, paths: Iterable[str]) -> str:
    """The same as a text; numbers are written out, and anything else is no text: empty."""
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
