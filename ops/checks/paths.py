"""Files and folders that may not exist yet."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import make_url

from schemas.settings import Settings


def missing_ledger(settings: Settings) -> Path | None:
    """Return the path of the ledger's file if it is a file that does not exist yet."""
    url = make_url(settings.ledger)
    path = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    return path if path is not None and not path.exists() else None


def nearest_existing(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    return folder if folder.exists() or folder == folder.parent else nearest_existing(folder.parent)
