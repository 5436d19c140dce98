"""Deletion of old dead letters and of the callbacks of refused requests, in bounded batches."""

from __future__ import annotations

from consumer.ledger import deletion
from consumer.ledger.database import Database

_BATCH = 500


def delete_old_dead_letters(database: Database, age_seconds: float, *, dry_run: bool = False) -> int:
    """Delete what is at least ``age_seconds`` old, and return how many dead letters there were."""
    found, last = 0, 0
    while batch := deletion.old_dead_letters(database, age_seconds=age_seconds, limit=_BATCH, after=last):
        found += len(batch) if dry_run else deletion.delete_dead_letters(database, batch)
        last = batch[-1]
    while not dry_run and deletion.delete_callbacks_without_job(database, age_seconds=age_seconds, limit=_BATCH):
        pass
    return found
