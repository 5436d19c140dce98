"""Which module speaks to which provider, and every model they bring. Modules are imported when first needed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable

from providers.base import RemoteProvider
from providers.catalogue import Catalogue, Model
from providers.http.policy import Policy
from schemas.errors import ProviderNotConfigured
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


def open_provider(name: str, settings: Settings, policy: Policy) -> RemoteProvider:
    """The adapter for the provider.

    Raises:
        ProviderNotConfigured: a setting is missing, which the message names, or there is no such provider.
    """
    module = MODULES.get(name)
    if module is None:
        raise ProviderNotConfigured(f"there is no provider {name!r}; there are: {', '.join(sorted(MODULES))}")
    opener: Opener = importlib.import_module(module).from_settings
    return opener(settings, policy)


def catalogue_of(settings: Settings) -> Catalogue:
    """The built-in models with the operator's entries.

    Raises:
        ConfigurationError: an entry of ``[[models]]`` is wrong.
    """
    models: list[Model] = []
    for name in _CATALOGUES:
        if importlib.util.find_spec(name) is not None:
            module = importlib.import_module(name)
            models += module.configured(settings) if hasattr(module, "configured") else module.MODELS
    return Catalogue(models).with_entries(settings.models)
