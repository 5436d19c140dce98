"""Modules of the operator's own, which register job types and providers at start."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Sequence

from pipelines.registry import PIPELINES
from providers.registry import EXTENSION_PROVIDERS
from schemas.errors import ConfigurationError
from schemas.job_types import JOB_TYPES


def load_extensions(modules: Sequence[str]) -> None:
    """Imports each module once; importing it is what registers its types and providers.

    Raises:
        ConfigurationError: there is no such module, it breaks, or what it registers does not fit together.
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise ConfigurationError(f"TELECINE_EXTENSIONS names {name}, but there is no module {error.name}") from None
        except ConfigurationError as error:
            raise ConfigurationError(f"extension {name}: {error.message}") from None
        except Exception as error:
            raise ConfigurationError(f"extension {name} breaks when it is imported: {_said(error)}") from error
    if modules:
        _check()


def _check() -> None:
    """Once all are there, since one may use what another one brings."""
    for kind in sorted(JOB_TYPES.keys() ^ PIPELINES.keys()):
        missing = "PIPELINES" if kind in JOB_TYPES else "JOB_TYPES"
        raise ConfigurationError(f"an extension's job type {kind!r} is not in {missing}; register it in both")
    for provider, added in EXTENSION_PROVIDERS.items():
        for model in added.models:
            for kind in model.types:
                if kind not in JOB_TYPES:
                    raise ConfigurationError(
                        f"model {model.id} of the extension's provider {provider} is for {kind!r}, "
                        f"which is no job type; there are: {', '.join(sorted(JOB_TYPES))}"
                    )


def _said(error: Exception) -> str:
    """What broke, and where; a syntax error tells its place itself."""
    words = f"{type(error).__name__}: {error}".partition("\n")[0]
    place = traceback.extract_tb(error.__traceback__)[-1]
    return words if isinstance(error, SyntaxError) else f"{words} ({place.filename}, line {place.lineno})"
