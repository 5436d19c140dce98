"""The context of a running job: steps that are remembered, files that are stored, progress that is shown."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from consumer.calls.call_spec import Parked, build_call_spec, ended, made_from
from consumer.execution.heartbeat import Heartbeat
from consumer.execution.inputs import fetch_input, ordered_input
from consumer.failpoints import failpoint
from consumer.ledger import calls, steps
from consumer.ledger.records import Job, Lease
from consumer.ledger.states import CallState
from consumer.ledger.timeline import note
from consumer.runtime import Runtime
from consumer.storage.artifacts import MANIFEST, check_free, stored
from consumer.wakeups.queues import PRIORITIES
from pipelines.context import ModelCall, ModelResult, OutputSpec, StepFunction
from pipelines.media.sandbox.process import Bounds
from providers.catalogue import Catalogue
from providers.local.host import ModelHost
from schemas.errors import InputError, InputNotFound, InputReplaced, TelecineError
from schemas.media import Artifact, InputFile


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
        #: What the pipeline told of itself, for the manifest.
        self.manifest_details: dict[str, Any] = {}
        #: By URI: why an input cannot be had any more that a call was ordered with.
        self.missing_inputs: dict[str, InputError] = {}

    @property
    def bounds(self) -> Bounds:
        """What a child process of this job may use: the operator's settings."""
        return self._runtime.bounds

    @property
    def catalogue(self) -> Catalogue:
        """The models that there are: built in, and the operator's."""
        return self._runtime.catalogue

    @property
    def host(self) -> ModelHost:
        """This process's local models."""
        return self._runtime.host

    @property
    def seed(self) -> int:
        """Drawn from the job's id and content."""
        own = hashlib.sha256(f"{self._job.id} {self._job.fingerprint}".encode()).digest()
        return int.from_bytes(own[:4], "big")

    def annotate(self, **details: Any) -> None:
        """Facts for the manifest."""
        self.manifest_details |= details

    def input(self, name: str, uri: str, *, kinds: Collection[str], limit_bytes: int) -> InputFile:
        """The file at ``uri``. Fetched again by every run: reading costs nothing but time.

        When it is gone by the second run, what a call was ordered with is still known: its result is not lost.
        """
        self._heartbeat.check()
        folder = self._folder / "inputs"
        try:
            file = fetch_input(
                self._runtime,
                name,
                uri,
                folder,
                kinds=kinds,
                limit_bytes=limit_bytes,
                tenant=self._job.tenant,
                pin=self._job.pins.get(uri),
            )
        except (InputNotFound, InputReplaced) as error:
            ordered = ordered_input(calls.of_job(self._runtime.database, self._job.id), name, uri, folder)
            if ordered is None:
                raise
            self.missing_inputs[uri] = error
            return ordered
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

    def step(self, name: str, make: StepFunction) -> Sequence[Artifact]:
        """The step's artifacts, stored: from the ledger when it is done, else made now."""
        self._heartbeat.check()
        database = self._runtime.database
        found = steps.begin(database, self._lease, name)
        if found.state == "done":
            return [Artifact.model_validate(item) for item in found.result]
        failpoint("advance.step_started")
        folder = self._folder / "steps" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            made = make(folder, self._rendering)
        except TelecineError as error:
            error.step = error.step or name
            raise
        failpoint("advance.rendered")
        kept: list[Artifact] = []
        for artifact in made:
            self._heartbeat.check()
            kept.append(self.store(artifact))
            if len(kept) == 1:
                failpoint("advance.stored_one")
        failpoint("advance.stored_all")
        records = [artifact.model_dump(mode="json", exclude_none=True) for artifact in kept]
        steps.record(database, self._lease, name, records, artifacts=[artifact.name for artifact in kept])
        failpoint("advance.step_recorded")
        return kept

    def call(self, name: str, call: ModelCall) -> ModelResult:
        """What a remote model made. The first time it writes the call down, parks the job and does not return."""
        self._heartbeat.check()
        database = self._runtime.database
        row = calls.latest(database, self._job.id, name)
        if row is None:
            for file in call.inputs.values():
                if file.uri in self.missing_inputs:
                    raise self.missing_inputs[file.uri]
            self._check_output(call.output)  # before anything is paid for
            steps.begin(database, self._lease, name)
            order = build_call_spec(self._runtime.catalogue, self._job, call, output=self._output)
            failpoint("call.wanted")
            calls.enqueue_and_park(database, self._lease, name, order, tenant=self._job.tenant,
                       urgency=PRIORITIES.index(self._job.priority))  # fmt: skip
            failpoint("call.parked")
            raise Parked
        if not row.settled:
            row = calls.park_unless_settled(database, self._lease, name)
            if row is None:
                raise Parked
        if row.state is not CallState.DONE:
            raise ended(row)
        if not any(item.name == name and item.state == "done" for item in steps.of_job(database, self._job.id)):
            assert row.result is not None
            artifact = row.result["artifact"]
            names = [] if artifact is None else [artifact["name"]]
            steps.record(database, self._lease, name, row.result, artifacts=names)
            failpoint("advance.step_recorded")
        return made_from(row)

    def store(self, artifact: Artifact) -> Artifact:
        """The artifact in storage under its lasting name; what an earlier attempt stored there is taken over."""
        uri = self._output + artifact.name
        # Checked at the door, and again here: rules may have changed since, and a pipeline may name anything.
        self._runtime.tenants.check_write(self._job.tenant, uri)
        job = self._job
        return stored(self._runtime.storage, artifact, uri, job_id=job.id, fingerprint=job.fingerprint)

    def _check_output(self, output: OutputSpec | None) -> None:
        runtime, job = self._runtime, self._job
        runtime.tenants.check_write(job.tenant, self._output)
        names = [MANIFEST] if output is None else [output.name, MANIFEST]
        uris = [self._output + name for name in names]
        check_free(runtime.storage, uris, job_id=job.id, fingerprint=job.fingerprint)

    def _rendering(self, part: float) -> None:
        self._heartbeat.check()
        self._heartbeat.progress(self._INPUTS + int((self._RENDERED - self._INPUTS) * min(1.0, max(0.0, part))))
