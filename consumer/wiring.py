"""Build a process's parts from the settings: the only module that knows how they fit together."""

from __future__ import annotations

import dataclasses
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from consumer.admission.policy import AdmissionPolicy
from consumer.admission.rules import outbound_policy, rules_of, trigger_rules
from consumer.callbacks.signing import generate_secret
from consumer.extensions import load_extensions
from consumer.ledger.database import Database, connect_ledger
from consumer.ledger.schema import prepare
from consumer.runtime import Runtime, Secrets
from consumer.storage.factory import storage_of
from consumer.uploads.request_factory import RequestFactory
from pipelines.registry import PIPELINES, Pipeline
from providers.registry import catalogue_of
from schemas.errors import ConfigurationError
from schemas.settings import Settings
from schemas.tenants import Tenant, TenantRules


def build_runtime(settings: Settings, *, pipelines: Mapping[str, Pipeline] = PIPELINES) -> Runtime:
    """Load the extensions, check the settings, open ledger and storage, and return the process's parts.

    Raises:
        ConfigurationError: a setting is wrong; the message names it.
    """
    load_extensions(settings.extensions)
    triggers = trigger_rules(settings)
    secrets = signing_secrets(settings)
    _check_secret_names(settings.tenants, secrets)
    return Runtime(
        settings=settings,
        database=open_ledger(settings),
        storage=storage_of(settings),
        policy=outbound_policy(settings),
        secrets=secrets,
        pipelines=pipelines,
        catalogue=catalogue_of(settings),
        triggers=triggers,
        tenants=TenantRules(settings.tenants),
    )


def admission_policy(runtime: Runtime) -> AdmissionPolicy:
    """Return the rules that every door applies to a request before it becomes a job."""
    rules = rules_of(runtime.settings, list(runtime.secrets), runtime.pipelines, runtime.catalogue, runtime.triggers)
    return dataclasses.replace(rules, policy=runtime.policy, tenants=runtime.tenants)


def request_factory(runtime: Runtime) -> RequestFactory:
    """Return what makes requests of uploaded objects, by the trigger rules of the settings."""
    return RequestFactory(
        storage=runtime.storage,
        scratch=runtime.settings.scratch_folder,
        limit_bytes=runtime.settings.max_message_bytes,
        rules=runtime.triggers,
    )


def open_ledger(settings: Settings) -> Database:
    """Open the ledger for a service: an empty one is created, and an older one is migrated if it is SQLite.

    Raises:
        ConfigurationError: the database's driver is not installed, or the ledger has to be migrated first.
    """
    database = connect_ledger(settings)
    try:
        prepare(database)
    except BaseException:
        database.close()
        raise
    return database


def _check_secret_names(tenants: Mapping[str, Tenant], secrets: Secrets) -> None:
    for name, tenant in tenants.items():
        for secret in tenant.callback_secrets:
            if secret not in secrets:
                raise ConfigurationError(
                    f"TELECINE_TENANTS, {name}.callback_secrets: {secret!r} is not a configured signing secret; "
                    f"TELECINE_CALLBACK_SECRETS has {', '.join(sorted(secrets)) or 'none'}"
                )


def signing_secrets(settings: Settings) -> Secrets:
    """Return the signing secrets by name. Embedded mode without any generates one at its first start."""
    if settings.callback_secrets or not settings.embedded:
        return settings.callback_secrets
    return {"default": [SecretStr(_embedded_secret(settings.home.absolute() / "callback-secret"))]}


def _embedded_secret(path: Path) -> str:
    """Return embedded mode's signing secret; generate it at the first start, readable by its owner only.

    A start that died before it wrote the secret leaves an empty file, which the next start fills. The lock makes
    processes that start together agree on one secret.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and (secret := path.read_text().strip()):
        return secret  # the file may be read-only
    with os.fdopen(os.open(path, os.O_CREAT | os.O_RDWR, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if secret := file.read().strip():
            return secret
        secret = generate_secret()
        file.seek(0)
        file.truncate()
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    return secret
