"""The base of the parts of the settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class SettingsPart(BaseModel):
    """A part of the settings. Only the whole is validated, so no validator is built for the part: a start is faster."""

    model_config = ConfigDict(defer_build=True)
