"""Every setting of Telecine, read once at the entry and passed down.

With no setting at all Telecine runs in embedded mode: a SQLite ledger, a folder as object store and an
inbox folder as queue, all under ``home``.
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

from schemas.envelope import Priority, normal_output
from schemas.provider_account import ProviderAccount
from schemas.provider_limits import Budget, ProviderLimits
from schemas.tenants import Tenant, check_tenants
from schemas.triggers import Trigger

Names = Annotated[list[str], NoDecode]


class Settings(BaseSettings):
    """``TELECINE_<NAME>`` in the environment wins over ``telecine.toml``, which wins over the default."""

    model_config = SettingsConfigDict(
        env_prefix="TELECINE_",
        toml_file=os.environ.get("TELECINE_SETTINGS_FILE", "telecine.toml"),
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,  # a mistyped secret would be printed with the complaint
    )

    home: Path = Field(
        Path("telecine-data"), description="Folder of the embedded mode: ledger, inbox, storage, scratch."
    )

    extensions: Names = Field(
        [], description="Python modules imported at start that register job types or providers; comma-separated."
    )

    # Messages
    broker_url: SecretStr | None = Field(
        None, description="RabbitMQ, amqp://…, or Celery on SQS, sqs://. Absent: embedded mode, no server at all."
    )
    amqp_queues: Names = Field(["telecine.requests"], description="Queues that the AMQP door reads; comma-separated.")
    amqp_delivery_limit: int = Field(
        20, ge=1, description="Deliveries of one message before the broker dead-letters it."
    )
    sqs_queues: Names = Field(
        [], description="SQS queues that the SQS door reads, names or URLs, the most urgent first; comma-separated."
    )
    sqs_endpoint_url: str | None = Field(None, description="SQS-compatible server. Absent: AWS.")
    sqs_region: str | None = Field(None, description="Region of queues given by name; absent: the AWS chain's.")
    sqs_wait_seconds: int = Field(20, ge=1, le=20, description="How long a long poll of the SQS door waits.")
    sqs_visibility_seconds: int = Field(
        30, ge=3, le=43_200, description="How long SQS hides a message that a door holds; renewed while it is held."
    )
    door_batch_messages: int = Field(200, ge=1, le=2000, description="Messages admitted in one commit at most.")
    door_batch_seconds: float = Field(0.01, ge=0, le=5, description="How long a door waits to fill a batch.")
    inbox: Path | None = Field(
        None, description="Folder read as a queue, one JSON file a request. Absent: <home>/inbox, embedded mode only."
    )
    inbox_poll_seconds: float = Field(0.1, gt=0, description="How often the inbox folder is looked at.")
    max_message_bytes: int = Field(256 * 1024, ge=1024, description="Size limit of a request, checked before parsing.")
    queue_priorities: dict[str, Priority] = Field(
        {}, description='Priority of requests that name none, by queue: {"telecine.urgent": "high"}.'
    )

    # Tenants
    tenants: dict[str, Tenant] = Field(
        {}, description="Who may read and write where: [tenants.NAME] tables; see tenants.md. None: no limits."
    )

    # Triggers
    triggers: list[Trigger] = Field(
        [], description="Which uploaded object becomes which request: [[triggers]] tables; see triggers.md."
    )

    # Ledger
    ledger_url: SecretStr | None = Field(None, description="SQLAlchemy URL. Absent: SQLite under home.")
    lease_seconds: float = Field(30.0, ge=1, description="How long a worker owns a job without a heartbeat.")
    sweep_seconds: float = Field(2.0, gt=0, description="How often due jobs without a lease are looked for.")
    wake_again_seconds: float = Field(
        30.0, gt=0, description="First repetition of a wake-up; doubles each time up to one hour."
    )
    max_crashes: int = Field(5, ge=1, description="Workers that may die on one job before it fails as worker_lost.")
    max_failures: int = Field(8, ge=1, description="Passing faults of one job before it fails as retries_exhausted.")
    retry_seconds: float = Field(
        5.0, gt=0, description="Wait after the first passing fault; doubles each time up to 15 minutes."
    )

    # Storage
    storage: Literal["folder", "s3"] | None = Field(None, description="Absent: folder in embedded mode, else s3.")
    output: str = Field("s3://results/", description="Where results go when a request names no output.")
    s3_endpoint_url: str | None = Field(None, description="S3-compatible server. Absent: AWS.")
    s3_region: str | None = Field(None, description="Region; absent: the AWS chain's.")
    s3_path_style: bool = Field(
        True, description="Bucket in the path instead of the host name; only with an endpoint URL."
    )
    s3_bucket_owners: dict[str, str] = Field({}, description="Bucket to AWS account id, sent as ExpectedBucketOwner.")
    result_url_seconds: int = Field(604_800, ge=60, le=604_800, description="Lifetime of presigned URLs in callbacks.")
    allowed_input_folders: Annotated[list[Path], NoDecode] = Field(
        [],
        description="Folders of file:// inputs, embedded mode only; comma-separated. <home>/media always is one.",
    )

    # Network
    allowed_private_hosts: Names = Field(
        [], description="host or host:port that may be private or plain http; comma-separated."
    )
    fetch_timeout_seconds: float = Field(300.0, gt=0, description="Longest download of one input.")

    # RunPod
    runpod_api_key: SecretStr | None = Field(
        None, validation_alias="RUNPOD_API_KEY", description="RunPod's key; absent: the renderer runpod is off."
    )
    runpod_endpoint_id: str | None = Field(
        None,
        validation_alias="RUNPOD_ENDPOINT_ID",
        pattern=r"^[A-Za-z0-9_-]{0,64}$",
        description="The endpoint that runs Telecine's handler.",
    )
    runpod_base_url: str = Field(
        "https://api.runpod.ai/v2", validation_alias="RUNPOD_ENDPOINT_BASE_URL", description="RunPod's job API."
    )

    # Callbacks
    callback_secrets: dict[str, list[SecretStr]] = Field(
        {}, description='Signing secrets by name, newest first: {"default": ["whsec_…"]}. Embedded mode makes one.'
    )
    callback_timeout_seconds: float = Field(20.0, gt=0, le=60, description="Longest wait for a receiver's answer.")
    callback_concurrency: int = Field(32, ge=1, description="Deliveries on the way at once.")
    outbox_poll_seconds: float = Field(0.1, gt=0, description="How often due deliveries are looked for.")
    callback_schedule_seconds: Annotated[list[float], NoDecode] = Field(
        [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400], description="Waits between attempts; comma-separated."
    )

    # Remote providers
    models: list[dict[str, Any]] = Field([], description="Entries of the catalogue: [[models]] in the settings file.")
    providers: dict[str, ProviderAccount] = Field(
        {}, description='Accounts at providers of extensions: {"aurora": {"key": "…"}}, [providers.aurora] in the file.'
    )
    provider_limits: dict[str, ProviderLimits] = Field(
        {}, description="Pace and breaker by provider: [provider_limits.pika] in the settings file."
    )
    budgets: dict[str, Budget] = Field(
        {}, description="What a tenant may spend: [budgets.NAME], [budgets.'*'] for each without its own."
    )
    call_poll_seconds: float = Field(0.25, gt=0, description="How often due provider calls are looked for.")
    call_concurrency: int = Field(64, ge=1, description="Exchanges with providers at once, in one process.")
    call_stop_seconds: float = Field(
        25.0,
        ge=15,
        le=800,
        description="How long a stop waits for paid calls that are being sent; keep it below the supervisor's grace.",
    )
    exchange_timeout_seconds: float = Field(
        60.0,
        gt=0,
        description="Longest exchange with Pika, Replicate, Cococlip, Imagine.art or RunPod.",
    )

    # Pika
    pika_token: SecretStr | None = Field(
        None, validation_alias="PIKAPI_BEARER_TOKEN", description="Pika's key; absent: the model pika is off."
    )
    pika_base_url: str = Field(
        "https://api.pikapikapika.io/web", validation_alias="PIKAPI_BASE_URL", description="Pika's API."
    )
    pika_first_wait_seconds: float = Field(
        300.0, ge=0, validation_alias="INITIAL_WAIT_TIME", description="Wait before Pika is first asked for a result."
    )
    pika_check_seconds: float = Field(
        420.0, gt=0, validation_alias="MAX_CHECK_TIME", description="How long it is asked after that."
    )

    # Cococlip
    cococlip_base_url: str | None = Field(
        None, description="Cococlip's backend, from your own agreement with it; absent: its five models are off."
    )
    cococlip_auth_header: SecretStr | None = Field(
        None, description='The header that carries the key, whole: "Authorization: Bearer …".'
    )
    cococlip_submit_path: str = Field(
        "/v3/{kind}/{model}", description="Where calls are sent; kind is text2video, image2video or audio2video."
    )
    cococlip_status_path: str = Field("/v3/{kind}/{model}/get?id={id}", description="Where a task is asked for.")

    # Imagine.art
    imagine_api_key: SecretStr | None = Field(
        None, validation_alias="IMAGINE_API_KEY", description="Imagine.art's key; absent: its model is off."
    )
    imagine_base_url: str = Field(
        "https://api.vyro.ai/v2", validation_alias="IMAGINE_BASE_URL", description="Imagine.art's API."
    )
    imagine_styles: dict[str, str] = Field(
        {"default": "kling-1.0-pro"},
        description='Style by style_id, and without one: {"default": "kling-1.0-pro", "60503": "…"}.',
    )

    # Replicate
    replicate_token: SecretStr | None = Field(
        None,
        validation_alias="REPLICATE_API_TOKEN",
        description="Replicate's key; absent: clip-interrogator and other models of its are off.",
    )
    replicate_base_url: str = Field(
        "https://api.replicate.com", validation_alias="REPLICATE_BASE_URL", description="Replicate's API, without /v1."
    )
    replicate_model_id: str = Field(
        "8151e1c9f47e696fa316146a2e35812ccf79cfc9eba05b11c7f450155102af70",
        validation_alias="REPLICATE_MODEL_ID",
        description="What clip-interrogator is there: a version, owner/name:version or owner/name.",
    )
    replicate_settle_seconds: float = Field(
        300.0, ge=0, description="How old a lost submission must be before its absence from Replicate's list counts."
    )

    # ElevenLabs
    elevenlabs_key: SecretStr | None = Field(
        None, validation_alias="ELEVENLABS_API_KEY", description="ElevenLabs' key; absent: its models are off."
    )
    elevenlabs_base_url: str = Field(
        "https://api.elevenlabs.io", validation_alias="ELEVENLABS_BASE_URL", description="ElevenLabs' API."
    )
    elevenlabs_timeout_seconds: float = Field(
        240.0, gt=0, le=800, description="Longest transcription: upload, work and answer are one exchange."
    )
    # Format game
    callback_api_url: str = Field(
        "https://game-api.virtuals.io/requests",
        validation_alias="CALLBACK_API_URL",
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        max_length=1024,
        description="Where callbacks in format game go, and the one host that GAME_API_KEY is sent to.",
    )
    game_api_key: SecretStr | None = Field(
        None, validation_alias="GAME_API_KEY", description="Key of the G.A.M.E. API; absent: no format game."
    )

    # Rendering
    scratch: Path | None = Field(None, description="Folder for work in progress. Absent: <home>/scratch.")
    concurrency: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="Jobs at once in one worker."
    )
    render_timeout_seconds: float = Field(1800.0, gt=0, description="Wall-clock limit of one render.")
    render_memory_bytes: int = Field(4 * 1024**3, ge=256 * 1024**2, description="Memory limit of one render.")

    # Local models
    local_device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        "auto", description="Where local models run. auto: CUDA, else MPS, else the CPU."
    )
    local_memory_bytes: int | None = Field(
        None, ge=1, description="What local models may take on their device. Absent: what is free there."
    )
    local_models: Path | None = Field(
        None, description="Folder of local models' weights, one folder a model. Absent: <home>/models."
    )
    local_threads: int | None = Field(None, ge=1, description="Threads of local models on the CPU. Absent: torch's.")
    local_timeout_seconds: float = Field(
        14_400.0, gt=0, description="Wall-clock limit of one call of a local model; looked at after each step."
    )

    # Watching
    health_host: str = Field("127.0.0.1", description="Address of /health, /ready and /metrics.")
    health_port: int = Field(8077, ge=0, le=65535, description="Port of the same; 0: any free one.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="auto: console on a terminal, else json."
    )
    sentry_dsn: SecretStr | None = Field(
        None, validation_alias="SENTRY_DSN", description="Sentry project; absent: off."
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
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("tenants")
    @classmethod
    def _sound_tenants(cls, value: dict[str, Tenant]) -> dict[str, Tenant]:
        check_tenants(value)
        return value

    @field_validator("broker_url")
    @classmethod
    def _readable_broker(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            readable = value is None or urlsplit(value.get_secret_value()).port != 0
        except ValueError:  # its words repeat a part of the password, and so would the log whenever a door connects
            readable = False
        if not readable:
            raise ValueError("is no URL; write / ? # and @ in its user name and password as %2F %3F %23 and %40")
        return value

    @field_validator("output")
    @classmethod
    def _normal_output(cls, value: str) -> str:
        return normal_output(value)

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
        """No broker: doors, worker and outbox live in one process."""
        return self.broker_url is None

    @property
    def amqp_url(self) -> str | None:
        """RabbitMQ's URL, with its password; ``None`` without a broker, or where Celery's is SQS."""
        return None if self.broker_url is None or self.celery_on_sqs else self.broker_url.get_secret_value()

    @property
    def celery_on_sqs(self) -> bool:
        """Celery's own messages travel over SQS."""
        return self.broker_url is not None and self.broker_url.get_secret_value().startswith("sqs:")

    @property
    def own_queue(self) -> str:
        """Where ``telecine submit`` puts a request: the first request queue, or the inbox folder's name."""
        if self.amqp_url is not None and self.amqp_queues:
            return self.amqp_queues[0]
        if self.celery_on_sqs and self.sqs_queues:
            return self.sqs_queues[0].rstrip("/").rpartition("/")[2]
        return self.inbox_folder.name

    @property
    def ledger(self) -> str:
        """The ledger's URL, with its password."""
        if self.ledger_url is not None:
            return self.ledger_url.get_secret_value()
        return f"sqlite:///{self.home.absolute() / 'ledger.sqlite3'}"

    def limits_of(self, provider: str) -> ProviderLimits:
        """The limits of a provider's account."""
        return self.provider_limits.get(provider, ProviderLimits())

    @property
    def storage_kind(self) -> Literal["folder", "s3"]:
        """Where objects lie."""
        return self.storage or ("folder" if self.embedded else "s3")

    @property
    def scratch_folder(self) -> Path:
        """Where jobs work; safe to delete while nothing runs."""
        return (self.scratch or self.home / "scratch").absolute()

    @property
    def local_models_folder(self) -> Path:
        """Where the weights of local models lie."""
        return (self.local_models or self.home / "models").absolute()

    @property
    def inbox_folder(self) -> Path:
        """The folder that is read as a queue."""
        return (self.inbox or self.home / "inbox").absolute()

    @property
    def storage_folder(self) -> Path:
        """The embedded mode's object store: one folder a bucket."""
        return (self.home / "storage").absolute()
