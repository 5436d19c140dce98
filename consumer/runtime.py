"""The parts of one process: what doors, workers and loops share, in one frozen record."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from consumer.failpoints import local_failpoint
from consumer.storage.base import Storage
from consumer.storage.references import References
from pipelines.context import AlignerOptions
from pipelines.media.sandbox.process import Bounds
from pipelines.models.first_use import pull_in_process
from pipelines.registry import Pipeline
from providers.catalogue import Catalogue
from providers.http.client import GuardedClient
from providers.http.policy import Policy
from providers.local.host import ModelHost, host_for
from schemas.settings import Settings
from schemas.tenants import TenantRules
from schemas.triggers import NO_TRIGGERS, TriggerRules

if TYPE_CHECKING:  # a command that opens no ledger starts faster without SQLAlchemy
    from consumer.ledger.database import Database
    from consumer.ledger.heartbeats import Heartbeats

Secrets = Mapping[str, Sequence[SecretStr]]


def render_bounds(settings: Settings) -> Bounds:
    """Return the limits of a media child process: seconds of wall time and bytes of memory."""
    return Bounds(wall_seconds=settings.render_timeout_seconds, memory_bytes=settings.render_memory_bytes)


@dataclass(frozen=True)
class Runtime:
    """The parts of one process. ``consumer.wiring.build_runtime`` builds it; close it before a fork and at the end."""

    settings: Settings
    database: Database
    storage: Storage
    #: Which private addresses outbound HTTP may reach.
    policy: Policy
    #: Signing secrets of callbacks by name; the first of each signs, all of them verify.
    secrets: Secrets
    pipelines: Mapping[str, Pipeline]
    catalogue: Catalogue
    #: Which tenant may read and write where.
    tenants: TenantRules
    triggers: TriggerRules = NO_TRIGGERS

    @functools.cached_property
    def host(self) -> ModelHost:
        """The host of this process's local models. It loads a model at its first call."""
        installer = pull_in_process if self.settings.local_pull else None
        return host_for(self.settings, installer=installer, on_event=local_failpoint)

    @functools.cached_property
    def heartbeats(self) -> Heartbeats:
        """The heartbeats of the jobs that this process runs."""
        from consumer.ledger.heartbeats import Heartbeats

        return Heartbeats(self.database, seconds=self.settings.lease_seconds)

    @property
    def device_failed(self) -> bool:
        """Whether the device of the local models stopped answering. Does not touch a device."""
        return "host" in self.__dict__ and self.host.device_failed

    @property
    def bounds(self) -> Bounds:
        """The limits of a media child process."""
        return render_bounds(self.settings)

    @property
    def aligner(self) -> AlignerOptions:
        """How lyrics are aligned on this worker."""
        return AlignerOptions(self.settings.alignment_separation, self.settings.alignment_model)

    @property
    def input_folders(self) -> Sequence[Path]:
        """The folders that ``file://`` inputs may come from; none outside embedded mode."""
        if not self.settings.embedded:
            return ()
        return (self.settings.home.absolute() / "media", *self.settings.allowed_input_folders)

    @property
    def references(self) -> References:
        """What reads the files that requests refer to."""
        return References(self.storage, self.http, self.input_folders)

    def http(self) -> GuardedClient:
        """Return a client for inputs and results: guarded, bounded, with no connection kept open between requests."""
        return GuardedClient(self.policy, total_timeout_seconds=self.settings.fetch_timeout_seconds)

    def close(self) -> None:
        """Close the database's connections."""
        self.database.close()
