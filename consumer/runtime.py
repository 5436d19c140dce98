"""Everything a process needs to work, built once from the settings and passed down."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from consumer.admission.policy import Checks
from consumer.callbacks.game import GameApi
from consumer.callbacks.signing import default_secret, generate_secret
from consumer.extensions import load_extensions
from consumer.failpoints import local_failpoint
from consumer.ledger.database import Database
from consumer.ledger.schema import migrate
from consumer.storage.base import Storage
from consumer.storage.factory import open_storage
from consumer.uploads.expansion import Expansion
from pipelines.models.routing import names_local
from pipelines.registry import PIPELINES, Pipeline
from providers.catalogue import Catalogue
from providers.http.client import GuardedClient
from providers.http.policy import Policy
from providers.local.host import ModelHost, host_for
from providers.registry import catalogue_of
from schemas.envelope import Request
from schemas.errors import ConfigurationError
from schemas.settings import Settings
from schemas.tenants import Tenant, TenantRules
from schemas.trigger_requests import check_rules
from schemas.triggers import NO_TRIGGERS, TriggerRules

Secrets = Mapping[str, Sequence[SecretStr]]


@dataclass(frozen=True)
class Runtime:
    """The parts that doors, workers and outbox share. ``close`` before a fork and at the end."""

    settings: Settings
    database: Database
    storage: Storage
    policy: Policy
    secrets: Secrets
    pipelines: Mapping[str, Pipeline]
    catalogue: Catalogue
    triggers: TriggerRules = NO_TRIGGERS

    @property
    def checks(self) -> Checks:
        """What a door asks about each request."""
        return Checks(
            roles={name: pipeline.role for name, pipeline in self.pipelines.items()},
            secret_names=frozenset(self.secrets),
            policy=self.policy,
            max_message_bytes=self.settings.max_message_bytes,
            tenants=self.tenants,
            queue_priorities=self.settings.queue_priorities,
            output=self.settings.output,
            triggers=self.triggers,
            default_signer=default_secret(self.secrets),
            game=self.game,
            fits=self._fits,
            role_of=self._role,
        )

    @functools.cached_property
    def host(self) -> ModelHost:
        """This process's local models; nothing is loaded before the first is wanted."""
        return host_for(self.settings, met=local_failpoint)

    @property
    def device_failed(self) -> bool:
        """Whether this process has lost the device of its local models. Does not look for one."""
        return "host" in self.__dict__ and self.host.failed

    def _role(self, request: Request) -> str:
        """The role of the workers that can do it: whoever names a local model needs one that has them."""
        return "gpu" if names_local(request.data, self.catalogue) else self.pipelines[request.type].role

    def _fits(self, request: Request) -> None:
        self.pipelines[request.type].check(request.data, request.type, self.catalogue)

    @property
    def expansion(self) -> Expansion:
        """How uploads become requests."""
        return Expansion(
            storage=self.storage,
            scratch=self.settings.scratch_folder,
            limit_bytes=self.settings.max_message_bytes,
            rules=self.triggers,
        )

    @property
    def tenants(self) -> TenantRules:
        """Who may read and write where."""
        return TenantRules(self.settings.tenants)

    @property
    def game(self) -> GameApi:
        """Where callbacks in format ``game`` go, and their key."""
        return GameApi(self.settings.callback_api_url, self.settings.game_api_key)

    @property
    def input_folders(self) -> Sequence[Path]:
        """Where ``file://`` inputs may come from; nowhere outside of embedded mode."""
        if not self.settings.embedded:
            return ()
        return (self.settings.home.absolute() / "media", *self.settings.allowed_input_folders)

    def http(self) -> GuardedClient:
        """The client for inputs: guarded, bounded, without open connections between two calls."""
        return GuardedClient(self.policy, total_timeout_seconds=self.settings.fetch_timeout_seconds)

    def close(self) -> None:
        """Gives back the database's connections."""
        self.database.close()


def build_runtime(settings: Settings, *, pipelines: Mapping[str, Pipeline] = PIPELINES) -> Runtime:
    """Opens ledger and storage; brings the ledger's tables up to date.

    Raises:
        ConfigurationError: a setting is wrong; the message names it.
    """
    load_extensions(settings.extensions)
    triggers = trigger_rules(settings)
    secrets = _secrets(settings)
    _check_secret_names(settings.tenants, secrets)
    database = open_ledger(settings)
    return Runtime(
        settings=settings,
        database=database,
        storage=storage_of(settings),
        policy=Policy(allowed_hosts=frozenset(settings.allowed_private_hosts)),
        secrets=secrets,
        pipelines=pipelines,
        catalogue=catalogue_of(settings),
        triggers=triggers,
    )


def trigger_rules(settings: Settings) -> TriggerRules:
    """The rules for uploads. Extensions are loaded before, because a rule may name their types.

    Raises:
        ConfigurationError: a rule cannot make a valid request, would be triggered by its own results, or has
            no tenant that exists.
    """
    outputs = [settings.output, *(tenant.output for tenant in settings.tenants.values() if tenant.output is not None)]
    rules = check_rules(settings.triggers, outputs)
    if settings.tenants:
        _check_trigger_tenants(rules, settings.tenants)
    return rules


def _check_trigger_tenants(triggers: TriggerRules, tenants: Mapping[str, Tenant]) -> None:
    """An upload is the tenant's whom its rule, its queue or the uploaded request names: one has to be possible."""
    by_queue = any(tenant.queues for tenant in tenants.values())
    for number, rule in enumerate(triggers.rules, 1):
        if rule.tenant is None and not by_queue and not rule.manifest:
            raise ConfigurationError(
                f"trigger rule {number} ({rule}): tenant is missing, and no tenant has queues; "
                f"name one of {', '.join(sorted(tenants))}"
            )
        if rule.tenant is not None and rule.tenant not in tenants:
            raise ConfigurationError(
                f"trigger rule {number} ({rule}): tenant {rule.tenant!r} does not exist; "
                f"there are {', '.join(sorted(tenants))}"
            )


def _check_secret_names(tenants: Mapping[str, Tenant], secrets: Secrets) -> None:
    for name, tenant in tenants.items():
        for secret in tenant.callback_secrets:
            if secret not in secrets:
                raise ConfigurationError(
                    f"TELECINE_TENANTS, {name}.callback_secrets: {secret!r} is no signing secret here; "
                    f"TELECINE_CALLBACK_SECRETS has {', '.join(sorted(secrets)) or 'none'}"
                )


def open_ledger(settings: Settings) -> Database:
    """The ledger, its tables up to date."""
    try:
        database = Database(settings.ledger)
    except ImportError as error:
        raise ConfigurationError(
            f"TELECINE_LEDGER_URL needs a driver: {error.name}; pip install 'telecine[postgres]'"
        ) from None
    migrate(database)
    return database


def storage_of(settings: Settings) -> Storage:
    """The object store that the settings name."""
    return open_storage(
        settings.storage_kind,
        folder=settings.storage_folder,
        endpoint_url=settings.s3_endpoint_url,
        region=settings.s3_region,
        path_style=settings.s3_path_style and settings.s3_endpoint_url is not None,
        bucket_owners=settings.s3_bucket_owners,
    )


def _secrets(settings: Settings) -> Secrets:
    if settings.callback_secrets or not settings.embedded:
        return settings.callback_secrets
    return {"default": [SecretStr(_own_secret(settings.home.absolute() / "callback-secret"))]}


def _own_secret(path: Path) -> str:
    """The embedded mode's signing secret: made at the first start, kept readable for its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(handle, "w") as file:
        file.write(generate_secret() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return path.read_text().strip()
