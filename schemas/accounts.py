"""Accounts at providers: keys, rate limits and circuit breakers; and the budgets of tenants."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ProviderAccount(BaseModel):
    """The operator's account at a provider of an extension: one ``[providers.NAME]`` table of the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    key: SecretStr = Field(min_length=1, description="The API key. It is sent to this provider only.")
    base_url: str | None = Field(None, description="Base URL of the provider's API. Default: the extension's.")


class ProviderLimits(BaseModel):
    """Limits of one provider account, enforced across all workers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate_per_minute: float = Field(60.0, gt=0, description="Submissions per minute, on average.")
    burst: float = Field(10.0, ge=1, description="Submissions in quick succession after a pause.")
    concurrency: int = Field(20, ge=1, description="Tasks in flight at the provider.")
    breaker_failures: int = Field(5, ge=1, description="Consecutive failures that open the circuit breaker.")
    breaker_seconds: float = Field(60.0, gt=0, description="Seconds until an open breaker lets one trial call through.")


class Budget(BaseModel):
    """The amount that may be spent per period (UTC)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    usd: float = Field(ge=0, description="US dollars.")
    period: Literal["day", "month", "ever"] = "month"

    @property
    def micros(self) -> int:
        """Budget in millionths of a US dollar."""
        return round(self.usd * 1_000_000)

    def period_start(self, now: float) -> float:
        """Return the start of the period that contains ``now``; both in epoch seconds."""
        if self.period == "ever":
            return 0.0
        day = dt.datetime.fromtimestamp(now, dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return (day if self.period == "day" else day.replace(day=1)).timestamp()
