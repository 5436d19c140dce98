"""Loading of the operator's extension modules, which register job types and providers."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Sequence

from pipelines.registry import PIPELINES
from providers.registry import EXTENSION_PROVIDERS
from schemas.errors import ConfigurationError
from schemas.job_types import JOB_TYPES


def load_extensions(modules: Sequence[str]) -> None:
    """Import each module, which registers its job types and providers. Idempotent.

    Raises:
        ConfigurationError: A module does not exist or raises on import, or its registrations are inconsistent.
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"TELECINE_EXTENSIONS names {name}, but module {error.name} does not exist"
            ) from None
        except ConfigurationError as error:
            raise ConfigurationError(f"extension {name}: {error.message}") from None
        except Exception as error:
            raise ConfigurationError(f"extension {name} fails to import: {_describe(error)}") from error
    if modules:
        _check()


def _check() -> None:
    """Check the registrations. Called after all imports, since extensions may depend on one another."""
    for kind in sorted(JOB_TYPES.keys() ^ PIPELINES.keys()):
        missing = "PIPELINES" if kind in JOB_TYPES else "JOB_TYPES"
        raise ConfigurationError(f"an extension's job type {kind!r} is not in {missing}; register it in both")
    for provider, added in EXTENSION_PROVIDERS.items():
        for model in added.models:
            for kind in model.types:
                if kind not in JOB_TYPES:
                    raise ConfigurationError(
                        f"model {model.id} of the extension's provider {provider} is for {kind!r}, "
                        f"which is not a job type; available: {', '.join(sorted(JOB_TYPES))}"
                    )


def _describe(error: Exception) -> str:
    """Return the error and its location; a syntax error's message contains its location already."""
    message = f"{type(error).__name__}: {error}".partition("\n")[0]
    place = traceback.extract_tb(error.__traceback__)[-1]
    return message if isinstance(error, SyntaxError) else f"{message} ({place.filename}, line {place.lineno})"
