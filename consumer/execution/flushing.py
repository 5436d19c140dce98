"""Manifests that did not wait for the disk: flushed many together, and written again after a power cut.

file ──> end, with a copy in the ledger ──> flush ──> copy deleted
                                    └─ power cut: every process that starts writes lost files again from the copies
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from consumer.failpoints import failpoint
from consumer.ledger import manifests
from consumer.ledger.manifests import UnflushedManifest
from consumer.logs import logger
from consumer.runtime import Runtime
from consumer.storage.artifacts import manifest_facts
from consumer.storage.base import SmallFiles
from schemas.errors import TelecineError

log = logger(__name__)

BATCH = 500
#: How long manifests are collected before they are flushed together.
FLUSH_SECONDS = 1.0
#: How long to wait after a failure of the ledger or the storage.
_FAILED_SECONDS = 10.0


class ManifestFlusher:
    """Flushes manifests until it is stopped. Any number of flushers may run."""

    def __init__(self, runtime: Runtime, files: SmallFiles) -> None:
        self._runtime, self._files = runtime, files
        self._stopped = threading.Event()

    def run(self) -> None:
        """Flush until ``stop``. Log errors and continue."""
        while not self._stopped.is_set():
            seconds = FLUSH_SECONDS
            try:
                self.flush()
            except Exception:
                log.warning("manifests_not_flushed", exc_info=True)
                seconds = _FAILED_SECONDS
            self._stopped.wait(seconds)

    def stop(self) -> None:
        """Make ``run`` return soon. Call it from any thread."""
        self._stopped.set()

    def flush(self) -> None:
        """Flush all manifests that the ledger keeps."""
        for batch in _kept(self._runtime):
            whole = [manifest for manifest in batch if _is_restored(self._runtime, self._files, manifest)]
            self._files.flush([manifest.uri for manifest in whole])
            failpoint("manifests.flushed")
            with self._runtime.database.write() as connection:
                manifests.forget(connection, [manifest.job_id for manifest in whole])


def restore_manifests(runtime: Runtime) -> None:
    """Write again every manifest that a power cut has damaged, before anyone is sent to it."""
    if (files := runtime.storage.small_files) is not None:
        for batch in _kept(runtime):
            for manifest in batch:
                _is_restored(runtime, files, manifest)


def _kept(runtime: Runtime) -> Iterator[Sequence[UnflushedManifest]]:
    last = ""
    while batch := manifests.list_kept(runtime.database, limit=BATCH, after=last):
        yield batch
        last = batch[-1].job_id


def _is_restored(runtime: Runtime, files: SmallFiles, manifest: UnflushedManifest) -> bool:
    """Write the manifest again if its file is missing or damaged, and return whether it is whole now."""
    facts = manifest_facts(manifest.content, manifest.job_id, manifest.fingerprint)
    if files.is_whole(manifest.content, manifest.uri, facts):
        return True
    try:
        with runtime.database.write() as connection:
            # Otherwise its job has been deleted since, or another process has flushed it.
            if manifests.is_kept(connection, manifest):
                files.restore(manifest.content, manifest.uri, facts)
                log.warning("manifest_restored", job_id=manifest.job_id)
    except (TelecineError, OSError) as error:
        log.warning("manifest_not_restored", job_id=manifest.job_id, reason=str(error))
        return False
    return True
