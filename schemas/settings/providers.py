"""Settings of remote providers: accounts, limits, and how calls to them are made."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SecretStr

from schemas.accounts import Budget, ProviderAccount, ProviderLimits
from schemas.settings.part import SettingsPart


class ProviderSettings(SettingsPart):
    """Accounts at providers, by provider, and what all providers have in common."""

    # Remote providers
    models: list[dict[str, Any]] = Field(
        [],
        examples=[[{"id": "pika", "price": "0.45"}]],
        description="Additional models for the catalogue: [[models]] tables; see adding-a-model.md.",
    )
    providers: dict[str, ProviderAccount] = Field(
        {},
        examples=[{"aurora": {"key": "…"}}],
        description='Accounts at providers of extensions: {"aurora": {"key": "…"}}, or [providers.NAME] tables.',
    )
    provider_limits: dict[str, ProviderLimits] = Field(
        {},
        examples=[{"pika": {"rate_per_minute": 20}}],
        description="Rate limit and circuit breaker by provider: [provider_limits.NAME] tables.",
    )
    budgets: dict[str, Budget] = Field(
        {},
        examples=[{"acme": {"usd": 50, "period": "month"}}],
        description="Budget of a tenant: [budgets.NAME] tables; [budgets.'*'] is for tenants without their own.",
    )
    call_poll_seconds: float = Field(0.25, gt=0, description="Interval between polls for due provider calls.")
    call_concurrency: int = Field(64, ge=1, description="Requests to providers in flight at once, per process.")
    call_stop_seconds: float = Field(
        25.0,
        ge=15,
        le=800,
        description="How long a shutdown waits for paid calls being sent; keep it below the supervisor's grace period.",
    )
    unknown_outcome_seconds: float = Field(
        300.0,
        ge=0,
        description="How long after its submission a call with an unknown outcome waits for a decision if the job can "
        "do without it (alignment_mode auto); then it counts as paid and the words are spread over the voice.",
    )
    exchange_timeout_seconds: float = Field(
        60.0,
        gt=0,
        description="Time limit for one request to Pika, Replicate, Cococlip, Imagine.art or RunPod.",
    )

    # Pika
    pika_token: SecretStr | None = Field(
        None, validation_alias="PIKAPI_BEARER_TOKEN", description="Pika's API key. Without it the model pika is off."
    )
    pika_base_url: str = Field(
        "https://api.pikapikapika.io/web", validation_alias="PIKAPI_BASE_URL", description="Base URL of Pika's API."
    )
    pika_first_wait_seconds: float = Field(
        300.0,
        ge=0,
        validation_alias="INITIAL_WAIT_TIME",
        description="Delay before the first poll for a result at Pika.",
    )
    pika_check_seconds: float = Field(
        420.0, gt=0, validation_alias="MAX_CHECK_TIME", description="How long to poll Pika after that."
    )

    # Cococlip
    cococlip_base_url: str | None = Field(
        None,
        description="Cococlip's backend, from your agreement with Cococlip. Without it its models use their routes.",
    )
    cococlip_auth_header: SecretStr | None = Field(
        None, description='Complete header line with the API key: "Authorization: Bearer …".'
    )
    cococlip_submit_path: str = Field(
        "/v3/{kind}/{model}", description="Path that calls are sent to; kind is text2video, image2video or audio2video."
    )
    cococlip_status_path: str = Field("/v3/{kind}/{model}/get?id={id}", description="Path that a task is polled at.")

    # Imagine.art
    imagine_api_key: SecretStr | None = Field(
        None, validation_alias="IMAGINE_API_KEY", description="Imagine.art's API key. Without it its model is off."
    )
    imagine_base_url: str = Field(
        "https://api.vyro.ai/v2", validation_alias="IMAGINE_BASE_URL", description="Base URL of Imagine.art's API."
    )
    imagine_styles: dict[str, str] = Field(
        {"default": "kling-1.0-pro"},
        examples=[{"default": "kling-1.0-pro", "60503": "…"}],
        description='Style by style_id, and the default style: {"default": "kling-1.0-pro", "60503": "…"}.',
    )

    # Replicate
    replicate_token: SecretStr | None = Field(
        None,
        validation_alias="REPLICATE_API_TOKEN",
        description="Replicate's API token. Without it clip-interrogator and other models on Replicate are off.",
    )
    replicate_base_url: str = Field(
        "https://api.replicate.com",
        validation_alias="REPLICATE_BASE_URL",
        description="Base URL of Replicate's API, without /v1.",
    )
    replicate_model_id: str = Field(
        "8151e1c9f47e696fa316146a2e35812ccf79cfc9eba05b11c7f450155102af70",
        validation_alias="REPLICATE_MODEL_ID",
        description="The clip-interrogator model on Replicate: a version, owner/name:version or owner/name.",
    )
    replicate_settle_seconds: float = Field(
        300.0, ge=0, description="Age at which a lost submission that Replicate does not list counts as not accepted."
    )

    # ElevenLabs
    elevenlabs_key: SecretStr | None = Field(
        None, validation_alias="ELEVENLABS_API_KEY", description="ElevenLabs' API key. Without it its models are off."
    )
    elevenlabs_base_url: str = Field(
        "https://api.elevenlabs.io", validation_alias="ELEVENLABS_BASE_URL", description="Base URL of ElevenLabs' API."
    )
    elevenlabs_timeout_seconds: float = Field(
        240.0, gt=0, le=800, description="Time limit for a transcription: upload, processing and response together."
    )

    # RunPod
    runpod_api_key: SecretStr | None = Field(
        None,
        validation_alias="RUNPOD_API_KEY",
        description="RunPod's API key. Without it the renderer runpod and RunPod's public endpoints are off.",
    )
    runpod_endpoint_id: str | None = Field(
        None,
        validation_alias="RUNPOD_ENDPOINT_ID",
        pattern=r"^[A-Za-z0-9_-]{0,64}$",
        description="RunPod endpoint that runs Telecine's handler.",
    )
    runpod_base_url: str = Field(
        "https://api.runpod.ai/v2",
        validation_alias="RUNPOD_ENDPOINT_BASE_URL",
        description="Base URL of RunPod's job API.",
    )
