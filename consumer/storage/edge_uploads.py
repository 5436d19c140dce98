"""Where the HTTP edge stores uploaded files: one folder per job, below the location of the results."""

from __future__ import annotations

import time
from typing import Any

from schemas.settings import Settings

#: No job id contains a tilde, so no job has its results in this folder.
_FOLDER = "~uploads"
#: The fact that is stored with an upload: the Unix time.
_AT = "uploaded_at"


def uploads_folder(settings: Settings, tenant: str | None) -> str:
    """Return the folder of all uploads of the tenant, which may read what it may write."""
    share = None if tenant is None else settings.tenants.get(tenant)
    if share is not None:
        return f"{share.output or next(iter(share.write), settings.output)}{_FOLDER}/"
    return f"{settings.output}{_FOLDER}{'' if tenant is None else f'~{tenant}'}/"


def all_uploads_folders(settings: Settings) -> list[str]:
    """Return the folders that uploads of any tenant may be in."""
    tenants = (None, *settings.tenants, *settings.edge_tokens)
    return sorted({uploads_folder(settings, tenant) for tenant in tenants})


def job_uploads_folder(settings: Settings, tenant: str | None, job_id: str) -> str:
    """Return the folder of one job's uploads."""
    return f"{uploads_folder(settings, tenant)}{job_id}/"


def is_upload(uri: str) -> bool:
    """Return whether ``uri`` is in a folder of uploads."""
    return f"/{_FOLDER}" in uri


def upload_facts() -> dict[str, Any]:
    """Return what is stored with an upload."""
    return {_AT: int(time.time())}


def uploaded_at(facts: dict[str, Any]) -> float | None:
    """Return when the object with these facts was uploaded; ``None`` if it is not an upload."""
    at = facts.get(_AT)
    return float(at) if isinstance(at, int | float) else None
