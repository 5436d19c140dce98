"""Every setting of Telecine, read once at the entry and passed down.

With no setting at all Telecine runs in embedded mode: a SQLite ledger, a folder as object store and an
inbox folder as queue, all under ``home``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from schemas.envelope import normal_output

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
        [], description="Python modules imported at start that register job types; comma-separated."
    )

    # Messages
    broker_url: SecretStr | None = Field(
        None, description="RabbitMQ, amqp://…. Absent: embedded mode, no server at all."
    )
    amqp_queues: Names = Field(["telecine.requests"], description="Queues that the AMQP door reads; comma-separated.")
    amqp_delivery_limit: int = Field(
        20, ge=1, description="Deliveries of one message before the broker dead-letters it."
    )
    door_batch_messages: int = Field(200, ge=1, le=2000, description="Messages admitted in one commit at most.")
    door_batch_seconds: float = Field(0.01, ge=0, le=5, description="How long a door waits to fill a batch.")
    inbox: Path | None = Field(
        None, description="Folder read as a queue, one JSON file a request. Absent: <home>/inbox, embedded mode only."
    )
    inbox_poll_seconds: float = Field(0.1, gt=0, description="How often the inbox folder is looked at.")
    max_message_bytes: int = Field(256 * 1024, ge=1024, description="Size limit of a request, checked before parsing.")

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

    # Rendering
    scratch: Path | None = Field(None, description="Folder for work in progress. Absent: <home>/scratch.")
    concurrency: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="Jobs at once in one worker."
    )
    render_timeout_seconds: float = Field(1800.0, gt=0, description="Wall-clock limit of one render.")
    render_memory_bytes: int = Field(4 * 1024**3, ge=256 * 1024**2, description="Memory limit of one render.")

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
    def ledger(self) -> str:
        """The ledger's URL, with its password."""
        if self.ledger_url is not None:
            return self.ledger_url.get_secret_value()
        return f"sqlite:///{self.home.absolute() / 'ledger.sqlite3'}"

    @property
    def storage_kind(self) -> Literal["folder", "s3"]:
        """Where objects lie."""
        return self.storage or ("folder" if self.embedded else "s3")

    @property
    def scratch_folder(self) -> Path:
        """Where jobs work; safe to delete while nothing runs."""
        return (self.scratch or self.home / "scratch").absolute()

    @property
    def inbox_folder(self) -> Path:
        """The folder that is read as a queue."""
        return (self.inbox or self.home / "inbox").absolute()

    @property
    def storage_folder(self) -> Path:
        """The embedded mode's object store: one folder a bucket."""
        return (self.home / "storage").absolute()
