"""Deletion of uploads whose request was never received, for example because the edge was killed in between."""

from __future__ import annotations

import time

from consumer.ledger.database import Database
from consumer.ledger.queries import known_ids
from consumer.storage.base import Storage
from consumer.storage.edge_uploads import all_uploads_folders, uploaded_at
from schemas.settings import Settings


def delete_orphaned_uploads(settings: Settings, database: Database, storage: Storage, *, age_seconds: float) -> int:
    """Delete the uploads that are older and have neither a job nor a dead letter; return the number of files."""
    deleted = 0
    for folder in all_uploads_folders(settings):
        last = ""
        while names := storage.list_folders(folder, last):
            known = known_ids(database, names)
            for name in names:
                if name in known:
                    continue
                if _is_older(storage, f"{folder}{name}/", age_seconds):
                    deleted += storage.delete(f"{folder}{name}/")
            last = names[-1]
    return deleted


def _is_older(storage: Storage, folder: str, age_seconds: float) -> bool:
    """Return whether all uploads in the folder are old enough. Any other file keeps it."""
    for uri in storage.list_prefix(folder):
        found = storage.head(uri)
        at = None if found is None else uploaded_at(found.facts)
        if at is None or at > time.time() - age_seconds:
            return False
    return True
