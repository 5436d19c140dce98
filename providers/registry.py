"""The registry of providers and their models. Adapters are imported when first needed."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from providers.base import RemoteProvider
from providers.catalogue import Catalogue, Model
from providers.http.policy import Policy
from schemas.errors import ConfigurationError, ProviderNotConfigured
from schemas.settings import Settings

Opener = Callable[[Settings, Policy], RemoteProvider]

#: Each provider's module, with ``from_settings(settings, policy)``.
MODULES: dict[str, str] = {
    "pika": "providers.pika",
    "cococlip": "providers.cococlip",
    "imagine": "providers.imagine",
    "replicate": "providers.replicate_api",
    "elevenlabs": "providers.elevenlabs_api",
    "runpod": "providers.runpod_api",
}

#: Modules with ``MODELS`` (the built-in catalogue entries) and ``configured(settings)`` if settings change them.
_CATALOGUES = (
    "providers.models_video",
    "providers.models_replicate",
    "providers.models_speech",
    "providers.models_runpod",
    "providers.models_local",
)

#: The provider of the models that run on a worker.
LOCAL = "local"

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")


@dataclass(frozen=True, slots=True)
class Added:
    """A provider added by an extension, with its models."""

    opener: Opener
    models: tuple[Model, ...]


#: The providers added in this process.
ADDED: dict[str, Added] = {}


def add_provider(name: str, opener: Opener, models: Sequence[Model] = ()) -> None:
    """Register a provider and its models. An extension calls this when it is imported.

    Raises:
        ConfigurationError: the name or a model id is not valid or already taken, or a model names another provider.
    """
    if not isinstance(name, str) or not _NAME.match(name):
        raise ConfigurationError(
            f"{name!r} is not a valid provider name; use 1-32 of a-z, 0-9 and hyphens, starting with a letter"
        )
    if name == LOCAL or name in MODULES or name in ADDED:
        raise ConfigurationError(f"a provider {name!r} already exists; choose another name")
    if not callable(opener):
        raise ConfigurationError(f"provider {name}: opener must be a function of the settings and the policy")
    taken = {model.id.lower() for model in _every_model()}
    for model in models:
        if not isinstance(model, Model):
            raise ConfigurationError(f"provider {name}: {type(model).__name__} is not a Model")
        if model.provider != name or model.weights is not None:
            raise ConfigurationError(f"model {model.id} is not {name}'s; write provider={name!r}, and no weights")
        if model.id.lower() in taken:
            raise ConfigurationError(f"a model {model.id!r} already exists; choose another id")
        taken.add(model.id.lower())
    ADDED[name] = Added(opener, tuple(models))


def provider_names() -> list[str]:
    """Return the names of all remote providers, including those of extensions."""
    return sorted({*MODULES, *ADDED})


def open_provider(name: str, settings: Settings, policy: Policy) -> RemoteProvider:
    """Return the provider's adapter.

    Raises:
        ProviderNotConfigured: a setting is missing (the message names it), or the provider does not exist.
    """
    if name in ADDED:
        return ADDED[name].opener(settings, policy)
    module = MODULES.get(name)
    if module is None:
        raise ProviderNotConfigured(f"provider {name!r} does not exist; available: {', '.join(provider_names())}")
    opener: Opener = importlib.import_module(module).from_settings
    return opener(settings, policy)


def catalogue_of(settings: Settings) -> Catalogue:
    """Return the built-in models and those of extensions, with the operator's entries applied.

    Raises:
        ConfigurationError: an entry of ``[[models]]`` is not valid.
    """
    return Catalogue(_every_model(settings)).with_entries(settings.models)


def _every_model(settings: Settings | None = None) -> Iterator[Model]:
    """Yield all models, adapted to the settings if given."""
    for name in _CATALOGUES:
        if importlib.util.find_spec(name) is not None:
            module = importlib.import_module(name)
            changed = settings is not None and hasattr(module, "configured")
            yield from module.configured(settings) if changed else module.MODELS
    for added in ADDED.values():
        yield from added.models
