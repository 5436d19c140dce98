"""Modules of the operator's own, which register job types and pipelines at start."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from schemas.errors import ConfigurationError


def load_extensions(modules: Sequence[str]) -> None:
    """Imports each module once; importing it is what registers its types.

    Raises:
        ConfigurationError: there is no such module.
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise ConfigurationError(f"TELECINE_EXTENSIONS names {name}, but there is no module {error.name}") from None
