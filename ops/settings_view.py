"""The effective settings, with secrets masked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr

from consumer.logs import scrub
from schemas.settings import Settings
from schemas.settings.sources import variable

_MASK = "********"
#: URLs with credentials in them: shown without the credentials.
_ADDRESSES = ("broker_url", "ledger_url")


@dataclass(frozen=True, slots=True)
class SettingView:
    """One setting. ``origin`` is ``default``, ``environment`` or ``file``."""

    variable: str
    value: Any
    origin: str
    description: str


def settings_view(settings: Settings) -> list[SettingView]:
    """Return every setting, in the order of declaration."""
    return [
        SettingView(
            _variable(name), _shown(name, getattr(settings, name)), _origin(name, settings), field.description or ""
        )
        for name, field in Settings.model_fields.items()
    ]


def _variable(name: str) -> str:
    return variable(name, Settings)


def _origin(name: str, settings: Settings) -> str:
    if name not in settings.model_fields_set:
        return "default"
    given = {key.upper() for key in os.environ}
    return "environment" if {_variable(name), f"{_variable(name)}_FILE"} & given else "file"


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, SecretStr):
        return scrub(value.get_secret_value()) if name in _ADDRESSES else _MASK
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_defaults=True)
    if isinstance(value, dict):
        return {key: _shown(name, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown(name, item) for item in value]
    if isinstance(value, str):
        return scrub(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)
