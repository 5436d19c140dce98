"""Lists that are comma-separated in the environment and arrays in the settings file."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator
from pydantic_settings import NoDecode


def _split_commas(value: Any) -> Any:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


Item = TypeVar("Item")
CommaSeparated = Annotated[list[Item], NoDecode, BeforeValidator(_split_commas)]
