"""Manifests that did not wait for the disk: flushed many together, and written again after a power cut.

file ──> end, with a copy in the ledger ──> flush ──> copy deleted
                                    └─ power cut: a service that starts writes lost files again from the copies
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
#: How long to wait after a failure of the ledger or the storage, and while a manifest cannot be written again.
_FAILED_SECONDS = 10.0


class ManifestFlusher:
    """Flushes manifests until it is stopped. Any number of flushers may run."""

    def __init__(self, runtime: Runtime, files: SmallFiles) -> None:
        self._runtime, self._files = runtime, files
        self._stopped = threading.Event()
        #: Jobs whose manifests may not be what the disk has: it reports an error once, and the next flush succeeds.
        self._unsafe: set[str] = set()

    def run(self) -> None:
        """Flush until ``stop``. Log errors and continue."""
        while not self._stopped.is_set():
            seconds = FLUSH_SECONDS
            try:
                if not self.flush():
                    seconds = _FAILED_SECONDS
            except Exception:
                log.warning("manifests_not_flushed", exc_info=True)
                seconds = _FAILED_SECONDS
            self._stopped.wait(seconds)

    def stop(self) -> None:
        """Make ``run`` return soon. Call it from any thread."""
        self._stopped.set()

    def flush(self) -> bool:
        """Flush all manifests that the ledger keeps. Return whether this was possible for each of them."""
        faults: list[Exception] = []
        for batch in _kept(self._runtime):
            whole = list(self._whole(batch, faults))
            job_ids = [manifest.job_id for manifest in whole]
            try:
                self._files.flush([manifest.uri for manifest in whole])
            except OSError:
                self._unsafe.update(job_ids)
                raise
            failpoint("manifests.flushed")
            with self._runtime.database.write() as connection:
                manifests.forget(connection, job_ids)
            self._unsafe.difference_update(job_ids)
        _report(faults)
        return not faults

    def _whole(self, batch: Sequence[UnflushedManifest], faults: list[Exception]) -> Iterator[UnflushedManifest]:
        for manifest in batch:
            fault = _restore(self._runtime, self._files, manifest, always=manifest.job_id in self._unsafe)
            if fault is None:
                yield manifest
            else:
                faults.append(fault)


def restore_manifests(runtime: Runtime) -> None:
    """Write again every manifest that a power cut has damaged. Call it before callbacks are sent."""
    if (files := runtime.storage.small_files) is not None:
        found = (_restore(runtime, files, manifest) for batch in _kept(runtime) for manifest in batch)
        _report([fault for fault in found if fault is not None])


def _report(faults: Sequence[Exception]) -> None:
    if faults:
        log.warning("manifests_not_restored", manifests=len(faults), reason=str(faults[0]))


def _kept(runtime: Runtime) -> Iterator[Sequence[UnflushedManifest]]:
    last = ""
    while batch := manifests.list_kept(runtime.database, limit=BATCH, after=last):
        yield batch
        last = batch[-1].job_id


def _restore(
    runtime: Runtime, files: SmallFiles, manifest: UnflushedManifest, *, always: bool = False
) -> Exception | None:
    """Write the manifest again if its file is missing or damaged, or ``always``. Return why this is impossible."""
    facts = manifest_facts(manifest.content, manifest.job_id, manifest.fingerprint)

    def is_whole() -> bool:
        return not always and files.is_whole(manifest.content, manifest.uri, facts)

    if is_whole():
        return None
    try:
        with runtime.database.write() as connection:
            # Its results may have been deleted, or another process may have flushed or restored it.
            if manifests.is_kept(connection, manifest) and not is_whole():
                files.restore(manifest.content, manifest.uri, facts)
                log.warning("manifest_restored", job_id=manifest.job_id)
    except (TelecineError, OSError) as error:
        return error
    return None
