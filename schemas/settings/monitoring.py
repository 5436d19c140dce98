"""Settings of health checks, logs and Sentry."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from schemas.settings.part import SettingsPart


class MonitoringSettings(SettingsPart):
    """Health endpoints, logging and error reporting."""

    # Monitoring
    health_host: str = Field("127.0.0.1", description="Address of /health, /ready and /metrics.")
    health_port: int = Field(
        8077, ge=0, le=65535, description="Port of /health, /ready and /metrics; 0: any free port."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Lowest level that is logged.")
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="Format of log lines. auto: console on a terminal, else json."
    )
    sentry_dsn: SecretStr | None = Field(
        None, validation_alias="SENTRY_DSN", description="DSN of the Sentry project. Default: Sentry is off."
    )
    sentry_environment: str = Field("production", description="Environment name in Sentry.")
