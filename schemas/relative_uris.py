"""Relative media names in an uploaded request: resolved against the folder that contains the request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from schemas.errors import InvalidField
from schemas.job_types import JOB_TYPES
from schemas.reference import is_reference


def resolve_relative_uris(request: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return the request with every relative media name resolved against ``folder``, which is ``s3://bucket/prefix/``.

    Names are object keys: they are not decoded, and they cannot leave the folder.

    Raises:
        InvalidField: a name has an empty, ``.`` or ``..`` segment.
    """
    kind, data = request.get("type"), request.get("data")
    model = JOB_TYPES.get(kind) if isinstance(kind, str) else None
    if model is None or not isinstance(data, dict):
        return dict(request)  # invalid: the parser will raise the error
    return {**request, "data": _in_model(model, data, "data", folder)}


def _in_model(model: type[BaseModel], value: Any, path: str, folder: str) -> Any:
    if not isinstance(value, dict):
        return value
    changed = dict(value)
    for name, field in model.model_fields.items():
        if name not in value:
            continue
        if is_reference(field):
            changed[name] = _map_strings(value[name], f"{path}.{name}", lambda text, at: _absolute(text, at, folder))
        for below in _models(field.annotation):
            changed[name] = _each(changed[name], f"{path}.{name}", below, folder)
    return changed


def _each(value: Any, path: str, model: type[BaseModel], folder: str) -> Any:
    if isinstance(value, list):
        return [_in_model(model, item, f"{path}.{index}", folder) for index, item in enumerate(value)]
    return _in_model(model, value, path, folder)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]


def _map_strings(value: Any, path: str, change: Callable[[str, str], str]) -> Any:
    if isinstance(value, str):
        return change(value, path)
    if isinstance(value, list):
        return [_map_strings(item, f"{path}.{index}", change) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {name: _map_strings(item, f"{path}.{name}", change) for name, item in value.items()}
    return value


def _absolute(name: str, path: str, folder: str) -> str:
    if "://" in name or not name:
        return name
    if any(segment in ("", ".", "..") for segment in name.split("/")):
        raise InvalidField(
            f"{path}: {name[:80]!r} must be in or below the manifest's folder, without empty, . or .. segments; "
            "or use s3://bucket/key",
            field=path,
        )
    return folder + name
