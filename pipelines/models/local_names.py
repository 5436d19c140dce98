"""Which models of a request are local: they run on a worker with the role ``gpu``."""

from __future__ import annotations

from typing import Any

from providers.catalogue import Catalogue
from schemas.generation import Generation

LOCAL = "local"


def names_local(data: Any, catalogue: Catalogue) -> bool:
    """Return whether ``data`` names at least one local model."""
    if not isinstance(data, Generation):
        return False
    return any(names_local_model(name, catalogue) for name in data.models)


def names_local_model(name: str, catalogue: Catalogue) -> bool:
    """Return whether the model ``name`` runs on this worker."""
    return any(model.provider == LOCAL and model.id.lower() == name.lower() for model in catalogue)
