"""How fast and how much: the operator's limits for providers and tenants."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ProviderLimits(BaseModel):
    """What one provider's account may be asked for, by all workers together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate_per_minute: float = Field(60.0, gt=0, description="Submissions a minute, on average.")
    burst: float = Field(10.0, ge=1, description="Submissions at once after a pause.")
    concurrency: int = Field(20, ge=1, description="Tasks at the provider at once.")
    breaker_failures: int = Field(5, ge=1, description="Failures in a row that open the circuit breaker.")
    breaker_seconds: float = Field(60.0, gt=0, description="How long it stays open before one call is tried.")


class Budget(BaseModel):
    """What may be spent in one period (UTC)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    usd: float = Field(ge=0, description="US dollars.")
    period: Literal["day", "month", "ever"] = "month"

    @property
    def micros(self) -> int:
        """The budget in millionths of a US dollar."""
        return round(self.usd * 1_000_000)

    def began(self, now: float) -> float:
        """When the period that ``now`` is in began; both in epoch seconds."""
        if self.period == "ever":
            return 0.0
        day = dt.datetime.fromtimestamp(now, dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return (day if self.period == "day" else day.replace(day=1)).timestamp()
