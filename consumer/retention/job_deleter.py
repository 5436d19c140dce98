"""Permanent deletion of jobs: first their files, then their rows, so that a crash in between can be repeated."""

from __future__ import annotations

import bisect
import functools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from consumer.ledger import deletion
from consumer.ledger.database import Database
from consumer.ledger.records import Job
from consumer.storage.base import Storage
from consumer.storage.edge_uploads import job_uploads_folder
from schemas.errors import TelecineError
from schemas.settings import Settings

_BATCH = 500
_POLL_SECONDS = 0.2
_NOT_ENDED = "it has not ended, or another process retried or deleted it"


@dataclass(frozen=True, slots=True)
class DeletionResult:
    """The result for one job. ``kept`` is the reason why it was not deleted, if it was not."""

    job_id: str
    files: int
    kept: str | None = None
    #: It was kept because of the object store, which may be unavailable for all others too.
    storage_failed: bool = False
    #: It was kept because of a call that is being settled, usually within seconds.
    settling: bool = False


class JobDeleter:
    """Deletes jobs of one ledger together with their results in storage, or the results alone."""

    def __init__(self, settings: Settings, database: Database, storage: Storage) -> None:
        self._settings = settings
        self._database = database
        self._storage = storage

    def delete(self, job: Job) -> DeletionResult:
        """Delete the files of a terminal job, then its rows."""
        deleted = self._delete_files(job)
        if deleted.kept is None and not deletion.delete_job(self._database, job.id):
            return DeletionResult(job.id, deleted.files, _NOT_ENDED)
        return deleted

    def delete_when_settled(self, job: Job, seconds: float) -> DeletionResult:
        """Delete a terminal job. Its calls may be settled up to ``seconds`` later, as after its cancellation."""
        deadline = time.monotonic() + seconds
        while (deleted := self.delete(job)).settling and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return deleted

    def delete_results(self, job: Job) -> DeletionResult:
        """Delete the files of a terminal job and keep its record."""
        deleted = self._delete_files(job)
        if deleted.kept is None:
            deletion.record_results_deleted(self._database, job.id, files=deleted.files)
        return deleted

    def delete_older(self, seconds: float, *, results_only: bool = False) -> Iterator[DeletionResult]:
        """Delete the jobs that ended at least ``seconds`` ago, oldest first, and yield the result of each.

        With ``results_only`` their records are kept.
        """
        delete = self.delete_results if results_only else self.delete
        kept = 0
        while batch := self._ended(seconds, kept, results_only=results_only):
            for job in batch:
                deleted = delete(job)
                kept += deleted.kept is not None
                yield deleted

    def older(self, seconds: float) -> Iterator[Job]:
        """Yield the jobs that ``delete_older`` would try to delete."""
        offset = 0
        while batch := self._ended(seconds, offset):
            yield from batch
            offset += len(batch)

    def folders(self, job: Job) -> Sequence[str]:
        """Return the folders that hold the job's results: those recorded in its outcome, and the one it asks for."""
        output = json.loads(job.request).get("output") or self._settings.output
        written = [str(item["uri"]).removesuffix(str(item["name"])) for item in (job.outcome or {}).get("outputs", [])]
        own = f"/{job.id}/"
        return sorted({folder for folder in (f"{output}{job.id}/", *written) if folder.endswith(own)})

    def _ended(self, seconds: float, offset: int, *, results_only: bool = False) -> Sequence[Job]:
        return deletion.ended_before(
            self._database, age_seconds=seconds, limit=_BATCH, offset=offset, with_results=results_only
        )

    def _delete_files(self, job: Job) -> DeletionResult:
        if deletion.unsettled(self._database, job.id):
            reason = "one of its paid calls is not settled yet; `telecine explain` shows its state"
            return DeletionResult(job.id, 0, reason, settling=deletion.is_settling(self._database, job.id))
        folders = self.folders(job)
        for folder in folders:
            if (inner := self._inside(folder)) is not None:
                return DeletionResult(
                    job.id, 0, f"its folder contains results of other jobs, in {inner}; delete its files by hand"
                )
        if not deletion.begin_deletion(self._database, job):
            return DeletionResult(job.id, 0, _NOT_ENDED)
        try:
            uploads = self._uploads(job)
            return DeletionResult(job.id, sum(self._storage.delete(folder) for folder in [*folders, *uploads]))
        except TelecineError as error:
            reason = f"its files could not be deleted: {error.message} ({error.code})"
            return DeletionResult(job.id, 0, reason, storage_failed=True)

    def _uploads(self, job: Job) -> list[str]:
        """Return the folder of the files that were uploaded for the job, if its request names one of them."""
        folder = job_uploads_folder(self._settings, job.tenant, job.id)
        return [folder] if f'"{folder}' in job.request else []

    @functools.cached_property
    def _outputs(self) -> Sequence[str]:
        return sorted({*deletion.outputs(self._database), self._settings.output})

    def _inside(self, folder: str) -> str | None:
        """Return an output folder of other jobs inside ``folder``, if there is one."""
        place = bisect.bisect_left(self._outputs, folder)
        found = self._outputs[place] if place < len(self._outputs) else None
        return found if found is not None and found.startswith(folder) else None
