"""Manifests that may not be on the disk yet: the ledger keeps them until they are.

A job's end writes its manifest here in the same transaction, so that the one exists if the other does. The file in
storage is written before, and flushed later together with others. After a power cut it is written again from here.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.database import Database, insertion
from consumer.ledger.prepared import Prepared, given
from consumer.ledger.tables import jobs, unflushed_manifests

_TABLE = unflushed_manifests
#: The version before deletes jobs and their results, but not what is kept here of them.
_HAS_RESULTS = sa.and_(
    jobs.c.id == _TABLE.c.job_id, jobs.c.fingerprint == _TABLE.c.fingerprint, jobs.c.results_deleted_at.is_(None)
)


@dataclass(frozen=True, slots=True)
class UnflushedManifest:
    """A manifest that is in storage, but perhaps not on the disk."""

    job_id: str
    fingerprint: str
    uri: str
    content: bytes


_NAMES = [field.name for field in fields(UnflushedManifest)]


def keep(database: Database, connection: Connection, manifest: UnflushedManifest) -> None:
    """Keep the manifest, in the caller's transaction."""
    _insertion(database.dialect).execute(connection, {name: getattr(manifest, name) for name in _NAMES})


@functools.cache
def _insertion(dialect: str) -> Prepared:
    statement = insertion(dialect, _TABLE).values({name: given(name) for name in _NAMES})
    changed = {name: statement.excluded[name] for name in _NAMES}
    return Prepared(statement.on_conflict_do_update(index_elements=["job_id"], set_=changed))


def list_kept(database: Database, *, limit: int, after: str = "") -> Sequence[UnflushedManifest]:
    """Return up to ``limit`` manifests that the ledger keeps, in the order of their jobs' ids."""
    query = sa.select(_TABLE).where(_TABLE.c.job_id > after).order_by(_TABLE.c.job_id).limit(limit)
    with database.read() as connection:
        return [UnflushedManifest(**row) for row in connection.execute(query).mappings()]


def is_kept(connection: Connection, manifest: UnflushedManifest) -> bool:
    """Return whether the ledger keeps the manifest and its job has results, which stay until the transaction ends."""
    query = sa.select(jobs.c.id).join_from(jobs, _TABLE, _HAS_RESULTS)
    query = query.where(_TABLE.c.job_id == manifest.job_id, _TABLE.c.uri == manifest.uri)
    return connection.execute(query.with_for_update()).first() is not None


def forget(connection: Connection, job_ids: Sequence[str]) -> None:
    """Delete the manifests of these jobs: they are on the disk, or are to be deleted there."""
    connection.execute(sa.delete(_TABLE).where(_TABLE.c.job_id.in_(job_ids)))
