"""Every setting of Telecine, read once at start and passed down.

Without any setting Telecine runs in embedded mode: a SQLite ledger, a folder as the object store and an inbox folder
as the queue, all under ``home``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from schemas.accounts import Budget, ProviderAccount, ProviderLimits
from schemas.envelope import Priority, normalize_output
from schemas.tenants import Tenant, check_tenants
from schemas.triggers import Trigger

Names = Annotated[list[str], NoDecode]


class Settings(BaseSettings):
    """``TELECINE_<NAME>`` in the environment overrides ``telecine.toml``, which overrides the default."""

    model_config = SettingsConfigDict(
        env_prefix="TELECINE_",
        toml_file=os.environ.get("TELECINE_SETTINGS_FILE", "telecine.toml"),
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,  # an error message must not contain a mistyped secret
    )

    home: Path = Field(Path("telecine-data"), description="Folder for embedded mode: ledger, inbox, storage, scratch.")

    extensions: Names = Field(
        [], description="Python modules to import at start that register job types or providers; comma-separated."
    )

    # Messages
    broker_url: SecretStr | None = Field(
        None, description="RabbitMQ, amqp://…, or Celery on SQS, sqs://. Default: embedded mode, without a server."
    )
    amqp_queues: Names = Field(["telecine.requests"], description="RabbitMQ queues with requests; comma-separated.")
    amqp_delivery_limit: int = Field(
        20, ge=1, description="Delivery attempts of one message before the broker dead-letters it."
    )
    sqs_queues: Names = Field(
        [], description="SQS queues with requests, as names or URLs, the most urgent first; comma-separated."
    )
    sqs_endpoint_url: str | None = Field(None, description="SQS-compatible server. Default: AWS.")
    sqs_region: str | None = Field(None, description="Region of queues given by name. Default: from the AWS chain.")
    sqs_wait_seconds: int = Field(20, ge=1, le=20, description="Wait time of an SQS long poll.")
    sqs_visibility_seconds: int = Field(
        30, ge=3, le=43_200, description="Visibility timeout of received messages; extended while they are processed."
    )
    door_batch_messages: int = Field(200, ge=1, le=2000, description="Most messages admitted in one commit.")
    door_batch_seconds: float = Field(0.01, ge=0, le=5, description="Longest wait to fill a batch.")
    inbox: Path | None = Field(
        None, description="Folder used as a queue, one JSON file per request. Default, in embedded mode: <home>/inbox."
    )
    inbox_poll_seconds: float = Field(0.1, gt=0, description="Interval between polls of the inbox folder.")
    max_message_bytes: int = Field(256 * 1024, ge=1024, description="Size limit of a request, checked before parsing.")
    queue_priorities: dict[str, Priority] = Field(
        {}, description='Default priority of requests by queue: {"telecine.urgent": "high"}.'
    )

    # Tenants
    tenants: dict[str, Tenant] = Field(
        {}, description="Locations that each tenant may use: [tenants.NAME] tables; see tenants.md. Default: no limits."
    )

    # Triggers
    triggers: list[Trigger] = Field(
        [], description="Rules that turn uploaded objects into requests: [[triggers]] tables; see triggers.md."
    )

    # Ledger
    ledger_url: SecretStr | None = Field(None, description="SQLAlchemy URL. Default: SQLite under home.")
    lease_seconds: float = Field(30.0, ge=1, description="Time without a heartbeat after which a job's lease expires.")
    sweep_seconds: float = Field(2.0, gt=0, description="Interval between sweeps for due jobs without a lease.")
    wake_again_seconds: float = Field(
        30.0, gt=0, description="Delay before a wake-up is repeated; doubles each time up to one hour."
    )
    max_crashes: int = Field(5, ge=1, description="Worker crashes on one job before it fails as worker_lost.")
    max_failures: int = Field(8, ge=1, description="Temporary faults of one job before it fails as retries_exhausted.")
    retry_seconds: float = Field(
        5.0, gt=0, description="Backoff after the first temporary fault; doubles each time up to 15 minutes."
    )

    # Storage
    storage: Literal["folder", "s3"] | None = Field(
        None, description="Object store. Default: folder in embedded mode, else s3."
    )
    output: str = Field("s3://results/", description="Default location of results.")
    s3_endpoint_url: str | None = Field(None, description="S3-compatible server. Default: AWS.")
    s3_region: str | None = Field(None, description="AWS region. Default: from the AWS chain.")
    s3_path_style: bool = Field(
        True, description="Put the bucket into the path instead of the host name; only with an endpoint URL."
    )
    s3_bucket_owners: dict[str, str] = Field({}, description="Bucket to AWS account id, sent as ExpectedBucketOwner.")
    result_url_seconds: int = Field(604_800, ge=60, le=604_800, description="Lifetime of presigned URLs in callbacks.")
    allowed_input_folders: Annotated[list[Path], NoDecode] = Field(
        [],
        description="Folders that file:// inputs may be in, besides <home>/media; embedded mode only; comma-separated.",
    )

    # Network
    allowed_private_hosts: Names = Field(
        [], description="Hosts, as host or host:port, that may be private or use plain http; comma-separated."
    )
    fetch_timeout_seconds: float = Field(300.0, gt=0, description="Time limit for the download of one input.")

    # RunPod
    runpod_api_key: SecretStr | None = Field(
        None, validation_alias="RUNPOD_API_KEY", description="RunPod's API key. Without it the renderer runpod is off."
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

    # Callbacks
    callback_secrets: dict[str, list[SecretStr]] = Field(
        {}, description='Signing secrets by name, newest first: {"default": ["whsec_…"]}. Embedded mode creates one.'
    )
    callback_timeout_seconds: float = Field(20.0, gt=0, le=60, description="Time limit for a receiver's response.")
    callback_concurrency: int = Field(32, ge=1, description="Deliveries in flight at the same time.")
    outbox_poll_seconds: float = Field(0.1, gt=0, description="Interval between polls for due deliveries.")
    callback_schedule_seconds: Annotated[list[float], NoDecode] = Field(
        [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400],
        description="Delays between delivery attempts; comma-separated.",
    )

    # Remote providers
    models: list[dict[str, Any]] = Field(
        [], description="Additional models for the catalogue: [[models]] tables; see adding-a-model.md."
    )
    providers: dict[str, ProviderAccount] = Field(
        {}, description='Accounts at providers of extensions: {"aurora": {"key": "…"}}, or [providers.NAME] tables.'
    )
    provider_limits: dict[str, ProviderLimits] = Field(
        {}, description="Rate limit and circuit breaker by provider: [provider_limits.NAME] tables."
    )
    budgets: dict[str, Budget] = Field(
        {}, description="Budget of a tenant: [budgets.NAME] tables; [budgets.'*'] is for tenants without their own."
    )
    call_poll_seconds: float = Field(0.25, gt=0, description="Interval between polls for due provider calls.")
    call_concurrency: int = Field(64, ge=1, description="Requests to providers in flight at once, per process.")
    call_stop_seconds: float = Field(
        25.0,
        ge=15,
        le=800,
        description="How long a shutdown waits for paid calls being sent; keep it below the supervisor's grace period.",
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
        None, description="Cococlip's backend, from your agreement with Cococlip. Without it its five models are off."
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

    # Rendering
    scratch: Path | None = Field(None, description="Folder for work in progress. Default: <home>/scratch.")
    concurrency: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="Jobs that one worker runs at the same time."
    )
    render_timeout_seconds: float = Field(1800.0, gt=0, description="Wall-clock limit for one render.")
    render_memory_bytes: int = Field(4 * 1024**3, ge=256 * 1024**2, description="Memory limit for one render.")

    # Local models
    local_device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        "auto", description="Device for local models. auto: CUDA, else MPS, else the CPU."
    )
    local_memory_bytes: int | None = Field(
        None, ge=1, description="Memory limit for local models on their device. Default: its free memory."
    )
    local_models: Path | None = Field(
        None, description="Folder with the weights of local models, one folder per model. Default: <home>/models."
    )
    local_threads: int | None = Field(None, ge=1, description="CPU threads for local models. Default: torch's.")
    local_timeout_seconds: float = Field(
        14_400.0, gt=0, description="Wall-clock limit for one run of a local model; checked after each step."
    )

    # Watching
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

    @field_validator(
        "extensions",
        "amqp_queues",
        "sqs_queues",
        "allowed_private_hosts",
        "allowed_input_folders",
        "callback_schedule_seconds",
        mode="before",
    )
    @classmethod
    def _split_commas(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("tenants")
    @classmethod
    def _check_tenants(cls, value: dict[str, Tenant]) -> dict[str, Tenant]:
        check_tenants(value)
        return value

    @field_validator("broker_url")
    @classmethod
    def _check_broker_url(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            valid = value is None or urlsplit(value.get_secret_value()).port != 0
        except ValueError:  # not chained: its text contains a part of the password
            valid = False
        if not valid:
            raise ValueError(
                "is not a valid URL; write / ? # and @ in its user name and password as %2F %3F %23 and %40"
            )
        return value

    @field_validator("output")
    @classmethod
    def _normalize_output(cls, value: str) -> str:
        return normalize_output(value)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def embedded(self) -> bool:
        """True without a broker: doors, worker and outbox run in one process."""
        return self.broker_url is None

    @property
    def amqp_url(self) -> str | None:
        """RabbitMQ's URL with its password; ``None`` without a broker or with Celery on SQS."""
        return None if self.broker_url is None or self.celery_on_sqs else self.broker_url.get_secret_value()

    @property
    def celery_on_sqs(self) -> bool:
        """True if Celery's own messages are sent over SQS."""
        return self.broker_url is not None and self.broker_url.get_secret_value().startswith("sqs:")

    @property
    def own_queue(self) -> str:
        """Queue that ``telecine submit`` sends to: the first request queue, or the inbox folder's name."""
        if self.amqp_url is not None and self.amqp_queues:
            return self.amqp_queues[0]
        if self.celery_on_sqs and self.sqs_queues:
            return self.sqs_queues[0].rstrip("/").rpartition("/")[2]
        return self.inbox_folder.name

    @property
    def ledger(self) -> str:
        """Database URL of the ledger, with its password."""
        if self.ledger_url is not None:
            return self.ledger_url.get_secret_value()
        return f"sqlite:///{self.home.absolute() / 'ledger.sqlite3'}"

    def limits_of(self, provider: str) -> ProviderLimits:
        """Return the limits of a provider's account."""
        return self.provider_limits.get(provider, ProviderLimits())

    @property
    def storage_kind(self) -> Literal["folder", "s3"]:
        """Kind of object store in use."""
        return self.storage or ("folder" if self.embedded else "s3")

    @property
    def scratch_folder(self) -> Path:
        """Folder for the files of running jobs; safe to delete while no job runs."""
        return (self.scratch or self.home / "scratch").absolute()

    @property
    def local_models_folder(self) -> Path:
        """Folder with the weights of local models."""
        return (self.local_models or self.home / "models").absolute()

    @property
    def inbox_folder(self) -> Path:
        """Folder that is read as a queue."""
        return (self.inbox or self.home / "inbox").absolute()

    @property
    def storage_folder(self) -> Path:
        """Object store of the embedded mode: one folder per bucket."""
        return (self.home / "storage").absolute()
