"""The operator's account at a provider that an extension adds."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ProviderAccount(BaseModel):
    """One ``[providers.NAME]`` table of the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    key: SecretStr = Field(min_length=1, description="The API key. It is sent to this provider only.")
    base_url: str | None = Field(None, description="Base URL of the provider's API. Default: the extension's.")
