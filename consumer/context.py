"""The context of a running job: steps that are remembered, files that are stored, progress that is shown."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from consumer.failpoints import failpoint
from consumer.heartbeat import Heartbeat
from consumer.inputs import bounds_of, fetch_input
from consumer.ledger import steps
from consumer.ledger.records import Job, Lease
from consumer.ledger.timeline import note
from consumer.runtime import Runtime
from consumer.storage.base import ObjectFacts
from pipelines.context import Renderer
from pipelines.media.sandbox import Bounds
from schemas.errors import TelecineError
from schemas.media import Artifact, InputFile, MediaFacts


class JobContext:
    """Implements ``pipelines.context.Context`` for one run of one job."""

    #: The shares of the progress bar: inputs, then rendering, then storing.
    _INPUTS, _RENDERED = 5, 95

    def __init__(
        self, runtime: Runtime, job: Job, lease: Lease, heartbeat: Heartbeat, *, output: str, folder: Path
    ) -> None:
        self._runtime = runtime
        self._job = job
        self._lease = lease
        self._heartbeat = heartbeat
        self._output = output
        self._folder = folder

    @property
    def bounds(self) -> Bounds:
        """What a child process of this job may use: the operator's settings."""
        return bounds_of(self._runtime.settings)

    def input(self, name: str, uri: str, *, kinds: Collection[str], limit_bytes: int) -> InputFile:
        """The file at ``uri``. Fetched again by every run: reading costs nothing but time."""
        self._heartbeat.check()
        file = fetch_input(self._runtime, name, uri, self._folder / "inputs", kinds=kinds, limit_bytes=limit_bytes)
        with self._runtime.database.write() as connection:
            note(
                connection,
                self._job.id,
                "input_fetched",
                epoch=self._lease.epoch,
                input=name,
                bytes=file.bytes,
                kind=file.kind,
            )
        self._heartbeat.progress(self._INPUTS)
        failpoint("advance.input_fetched")
        return file

    def call(self, step: str, renderer: Renderer) -> Sequence[Artifact]:
        """The step's artifacts, stored: from the ledger when it is done, else made now."""
        self._heartbeat.check()
        database = self._runtime.database
        found = steps.begin(database, self._lease, step)
        if found.state == "done":
            return [Artifact.model_validate(item) for item in found.result]
        failpoint("advance.step_started")
        folder = self._folder / "steps" / step
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            made = renderer(folder, self._rendering)
        except TelecineError as error:
            error.step = error.step or step
            raise
        failpoint("advance.rendered")
        stored: list[Artifact] = []
        for artifact in made:
            self._heartbeat.check()
            stored.append(self.store(artifact))
            if len(stored) == 1:
                failpoint("advance.stored_one")
        failpoint("advance.stored_all")
        records = [artifact.model_dump(mode="json", exclude_none=True) for artifact in stored]
        steps.record(database, self._lease, step, records, artifacts=[artifact.name for artifact in stored])
        failpoint("advance.step_recorded")
        return stored

    def store(self, artifact: Artifact) -> Artifact:
        """The artifact in storage under its lasting name; what an earlier attempt stored there is taken over."""
        assert artifact.path is not None
        with artifact.path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
        facts = ObjectFacts(
            job_id=self._job.id,
            fingerprint=self._job.fingerprint,
            content_type=artifact.content_type,
            sha256=sha256,
            bytes=size,
            facts=artifact.facts.model_dump(exclude_none=True),
        )
        stored = self._runtime.storage.put(artifact.path, self._output + artifact.name, facts)
        return artifact.model_copy(
            update={
                "path": None,
                "uri": stored.uri,
                "sha256": stored.sha256,
                "bytes": stored.bytes,
                "facts": MediaFacts.model_validate(stored.facts),
            }
        )

    def _rendering(self, part: float) -> None:
        self._heartbeat.check()
        self._heartbeat.progress(self._INPUTS + int((self._RENDERED - self._INPUTS) * min(1.0, max(0.0, part))))
