"""Which module speaks to which provider, and every model they bring. Modules are imported when first needed."""

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

#: Provider to the module that has ``from_settings(settings, policy)``.
MODULES: dict[str, str] = {
    "pika": "providers.pika",
    "cococlip": "providers.cococlip",
    "imagine": "providers.imagine",
    "replicate": "providers.replicate_api",
    "elevenlabs": "providers.elevenlabs_api",
    "runpod": "providers.runpod_api",
}

#: Modules with ``MODELS``, the catalogue's own entries; ``configured(settings)`` where settings change them.
_CATALOGUES = (
    "providers.models_video",
    "providers.models_replicate",
    "providers.models_speech",
    "providers.models_runpod",
    "providers.models_local",
)

#: Whoever makes what no vendor makes.
LOCAL = "local"

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")


@dataclass(frozen=True, slots=True)
class Added:
    """A provider that an extension has brought, and its models."""

    opener: Opener
    models: tuple[Model, ...]


#: Those of this process.
ADDED: dict[str, Added] = {}


def add_provider(name: str, opener: Opener, models: Sequence[Model] = ()) -> None:
    """Makes a provider and its models known. An extension calls it when it is imported.

    Raises:
        ConfigurationError: the name or a model is taken, or a model is not this provider's.
    """
    if not isinstance(name, str) or not _NAME.match(name):
        raise ConfigurationError(f"{name!r} is no provider's name; use 1-32 of a-z, 0-9 and hyphens, a letter first")
    if name == LOCAL or name in MODULES or name in ADDED:
        raise ConfigurationError(f"there is a provider {name!r} already; choose another name")
    if not callable(opener):
        raise ConfigurationError(f"provider {name}: opener must be a function of the settings and the policy")
    taken = {model.id.lower() for model in _every_model()}
    for model in models:
        if not isinstance(model, Model):
            raise ConfigurationError(f"provider {name}: a {type(model).__name__} is no Model")
        if model.provider != name or model.weights is not None:
            raise ConfigurationError(f"model {model.id} is not {name}'s; write provider={name!r}, and no weights")
        if model.id.lower() in taken:
            raise ConfigurationError(f"there is a model {model.id!r} already; choose another id")
        taken.add(model.id.lower())
    ADDED[name] = Added(opener, tuple(models))


def provider_names() -> list[str]:
    """Every provider that there is, those of extensions included."""
    return sorted({*MODULES, *ADDED})


def open_provider(name: str, settings: Settings, policy: Policy) -> RemoteProvider:
    """The adapter for the provider.

    Raises:
        ProviderNotConfigured: a setting is missing, which the message names, or there is no such provider.
    """
    if name in ADDED:
        return ADDED[name].opener(settings, policy)
    module = MODULES.get(name)
    if module is None:
        raise ProviderNotConfigured(f"there is no provider {name!r}; there are: {', '.join(provider_names())}")
    opener: Opener = importlib.import_module(module).from_settings
    return opener(settings, policy)


def catalogue_of(settings: Settings) -> Catalogue:
    """The built-in models and those of extensions, with the operator's entries.

    Raises:
        ConfigurationError: an entry of ``[[models]]`` is wrong.
    """
    return Catalogue(_every_model(settings)).with_entries(settings.models)


def _every_model(settings: Settings | None = None) -> Iterator[Model]:
    """As the settings change them, or as they are written."""
    for name in _CATALOGUES:
        if importlib.util.find_spec(name) is not None:
            module = importlib.import_module(name)
            changed = settings is not None and hasattr(module, "configured")
            yield from module.configured(settings) if changed else module.MODELS
    for added in ADDED.values():
        yield from added.models
