"""Every setting of Telecine, read once at start and passed down.

Without any setting Telecine runs in embedded mode: a SQLite ledger, a folder as the object store and an inbox folder
as the queue, all under ``home``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from schemas.accounts import ProviderLimits
from schemas.settings.callbacks import CallbackSettings
from schemas.settings.dashboard import DashboardSettings
from schemas.settings.edge import EdgeSettings
from schemas.settings.ledger import LedgerSettings
from schemas.settings.messages import MessageSettings
from schemas.settings.monitoring import MonitoringSettings
from schemas.settings.providers import ProviderSettings
from schemas.settings.rendering import RenderSettings
from schemas.settings.sources import Environment, SettingsFile
from schemas.settings.storage import StorageSettings

#: The parts of the settings in the order in which they are documented.
PARTS: tuple[type[BaseModel], ...] = (
    MessageSettings,
    LedgerSettings,
    StorageSettings,
    CallbackSettings,
    ProviderSettings,
    RenderSettings,
    EdgeSettings,
    DashboardSettings,
    MonitoringSettings,
)


# Pydantic takes the fields of the last base class first.
class Settings(
    MonitoringSettings,
    DashboardSettings,
    EdgeSettings,
    RenderSettings,
    ProviderSettings,
    CallbackSettings,
    StorageSettings,
    LedgerSettings,
    MessageSettings,
    BaseSettings,
):
    """``TELECINE_<NAME>`` in the environment overrides ``telecine.toml``, which overrides the default."""

    model_config = SettingsConfigDict(
        env_prefix="TELECINE_",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        defer_build=False,
        hide_input_in_errors=True,  # an error message must not contain a mistyped secret
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, Environment(settings_cls), SettingsFile(settings_cls)

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

    @property
    def tenants_in_metrics(self) -> frozenset[str]:
        """Tenants that may be labels of metrics: those that the settings name. Other names are text from producers."""
        return frozenset({*self.tenants, *self.budgets} - {"*"})

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
