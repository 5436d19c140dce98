"""Settings of the dashboard."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from schemas.envelope import TenantName
from schemas.settings.part import SettingsPart


class DashboardToken(BaseModel):
    """What the owner of a token sees and may do."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    token: SecretStr = Field(description="At least 16 ASCII characters.")
    tenant: TenantName | None = Field(None, description="Only this tenant's jobs are shown. Default: everything.")
    may_act: bool = Field(False, description="Whether it may retry, cancel, replay, settle, pause, send and delete.")

    @field_validator("token")
    @classmethod
    def _check_token(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if len(text) < 16 or not text.isascii():
            raise ValueError("a token needs at least 16 ASCII characters")
        return value


class DashboardSettings(SettingsPart):
    """``telecine dashboard``: where it listens, and who may see and do what."""

    # Dashboard
    dashboard_host: str = Field(
        "127.0.0.1", description="Address of the dashboard. Another one than loopback needs tokens."
    )
    dashboard_port: int = Field(8078, ge=0, le=65535, description="Port of the dashboard; 0: any free port.")
    dashboard_tokens: dict[str, DashboardToken] = Field(
        {},
        examples=[{"anna": {"token": "a-long-random-text", "may_act": True}}],
        description="Tokens by the name that timelines show: [dashboard_tokens.NAME] tables with token, tenant and "
        "may_act. Default: none, which is accepted on a loopback address only.",
    )

    @field_validator("dashboard_tokens")
    @classmethod
    def _check_names(cls, value: dict[str, DashboardToken]) -> dict[str, DashboardToken]:
        if len({owner.token.get_secret_value() for owner in value.values()}) < len(value):
            raise ValueError("the same token belongs to two names")
        return value
