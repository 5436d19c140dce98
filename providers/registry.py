"""The registry of providers and their models.

A built-in provider is a package ``providers.NAME``, with underscores for the name's hyphens. It has two modules:
``models`` has ``MODELS``, its catalogue entries, and, if settings change them, ``configured(settings)``;
``adapter`` has ``from_settings(settings, policy)``. Adapters are imported when first needed.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from providers.base import RemoteProvider
from providers.catalogue import Catalogue, Model
from providers.http.policy import Policy
from schemas.errors import ConfigurationError, ProviderNotConfigured
from schemas.settings import Settings

Opener = Callable[[Settings, Policy], RemoteProvider]

#: The built-in remote providers, in the order of the catalogue.
REMOTE = ("cococlip", "imagine", "pika", "replicate", "elevenlabs", "runpod", "runpod-public")

#: The provider of the models that run on a worker; it has no adapter.
LOCAL = "local"

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")


@dataclass(frozen=True, slots=True)
class ExtensionProvider:
    """A provider added by an extension, with its models."""

    opener: Opener
    models: tuple[Model, ...]


#: The providers added in this process.
EXTENSION_PROVIDERS: dict[str, ExtensionProvider] = {}


def add_provider(name: str, opener: Opener, models: Sequence[Model] = ()) -> None:
    """Register a provider and its models. An extension calls this when it is imported.

    Raises:
        ConfigurationError: the name or a model id is not valid or already taken, or a model names another provider.
    """
    if not isinstance(name, str) or not _NAME.match(name):
        raise ConfigurationError(
            f"{name!r} is not a valid provider name; use 1-32 of a-z, 0-9 and hyphens, starting with a letter"
        )
    if name == LOCAL or name in REMOTE or name in EXTENSION_PROVIDERS:
        raise ConfigurationError(f"a provider {name!r} already exists; choose another name")
    if not callable(opener):
        raise ConfigurationError(f"provider {name}: opener must be a function of the settings and the policy")
    taken = {model.id.lower() for model in _all_models()}
    for model in models:
        if not isinstance(model, Model):
            raise ConfigurationError(f"provider {name}: {type(model).__name__} is not a Model")
        if model.provider != name or model.weights is not None:
            raise ConfigurationError(f"model {model.id} is not {name}'s; write provider={name!r}, and no weights")
        if model.id.lower() in taken:
            raise ConfigurationError(f"a model {model.id!r} already exists; choose another id")
        taken.add(model.id.lower())
    EXTENSION_PROVIDERS[name] = ExtensionProvider(opener, tuple(models))


def provider_names() -> list[str]:
    """Return the names of all remote providers, including those of extensions."""
    return sorted({*REMOTE, *EXTENSION_PROVIDERS})


def open_provider(name: str, settings: Settings, policy: Policy) -> RemoteProvider:
    """Return the provider's adapter.

    Raises:
        ProviderNotConfigured: a setting is missing (the message names it), or the provider does not exist.
    """
    if name in EXTENSION_PROVIDERS:
        return EXTENSION_PROVIDERS[name].opener(settings, policy)
    if name not in REMOTE:
        raise ProviderNotConfigured(f"provider {name!r} does not exist; available: {', '.join(provider_names())}")
    opener: Opener = importlib.import_module(f"providers.{name.replace('-', '_')}.adapter").from_settings
    return opener(settings, policy)


def catalogue_of(settings: Settings) -> Catalogue:
    """Return the built-in models and those of extensions, with the operator's entries applied.

    Raises:
        ConfigurationError: an entry of ``[[models]]`` is not valid.
    """
    return Catalogue(_all_models(settings)).with_entries(settings.models)


def _all_models(settings: Settings | None = None) -> Iterator[Model]:
    """Yield all models, adapted to the settings if given."""
    for name in (*REMOTE, LOCAL):
        module = importlib.import_module(f"providers.{name.replace('-', '_')}.models")
        changed = settings is not None and hasattr(module, "configured")
        yield from module.configured(settings) if changed else module.MODELS
    for extension in EXTENSION_PROVIDERS.values():
        yield from extension.models
