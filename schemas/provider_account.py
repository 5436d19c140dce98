"""The operator's account at a provider that an extension brings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ProviderAccount(BaseModel):
    """One ``[providers.NAME]`` table of the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    key: SecretStr = Field(min_length=1, description="The key, sent to the provider and to nobody else.")
    base_url: str | None = Field(None, description="The provider's API, where it is not the extension's default.")
