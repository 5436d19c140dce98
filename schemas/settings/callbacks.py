"""Settings of callbacks."""

from __future__ import annotations

from pydantic import Field, SecretStr

from schemas.settings.comma_separated import CommaSeparated
from schemas.settings.part import SettingsPart


class CallbackSettings(SettingsPart):
    """Signing, pace and schedule of deliveries; the receiver of callbacks in format game."""

    # Callbacks
    callback_secrets: dict[str, list[SecretStr]] = Field(
        {},
        examples=[{"default": ["whsec_…"]}],
        description='Signing secrets by name, newest first: {"default": ["whsec_…"]}. Embedded mode creates one.',
    )
    callback_timeout_seconds: float = Field(20.0, gt=0, le=60, description="Time limit for a receiver's response.")
    callback_concurrency: int = Field(
        32, ge=1, description="Deliveries in flight at the same time, besides those that wait for a slow receiver."
    )
    outbox_poll_seconds: float = Field(
        0.1, gt=0, description="Interval between polls for due deliveries. New ones are announced."
    )
    callback_schedule_seconds: CommaSeparated[float] = Field(
        [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400],
        description="Delays between delivery attempts; comma-separated.",
    )

    # Format game
    callback_api_url: str = Field(
        "https://game-api.virtuals.io/requests",
        validation_alias="CALLBACK_API_URL",
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        max_length=1024,
        description="Receiver of callbacks in format game; GAME_API_KEY is sent to this host only.",
    )
    game_api_key: SecretStr | None = Field(
        None,
        validation_alias="GAME_API_KEY",
        description="G.A.M.E. API key. Without it callbacks in format game are off.",
    )
