"""The context of one attempt: what a pipeline's ``ctx`` does on a worker."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from consumer import tracing
from consumer.calls.call_spec import build_call_spec, model_result
from consumer.calls.progress import job_percentage
from consumer.execution.heartbeat import Heartbeat
from consumer.execution.inputs import fetch_input, input_from_call
from consumer.failpoints import failpoint
from consumer.ledger import calls
from consumer.ledger.call_request import CallSpec
from consumer.ledger.leases import Claim
from consumer.ledger.manifests import UnflushedManifest
from consumer.ledger.timeline import note
from consumer.runtime import Runtime
from consumer.storage.artifacts import MANIFEST, check_output_free, manifest_facts, store_artifact
from consumer.storage.scratch import LazyFolder
from pipelines.context import AlignerOptions, ModelCall, ModelResult, OutputSpec, StepFunction
from pipelines.media.sandbox.process import Bounds
from providers.catalogue import Catalogue
from providers.local.host import ModelHost
from schemas.envelope import Request
from schemas.errors import InputError, InputNotFound, InputReplaced, RenderError, TelecineError
from schemas.media import InputFile, LocalFile, StoredArtifact

if TYPE_CHECKING:
    from consumer.execution.durable import Steps

#: The largest manifest that the ledger keeps until it is on the disk.
MAX_UNFLUSHED_BYTES = 64 * 1024


class JobContext:
    """Implements ``pipelines.context.Context`` for one attempt of one job."""

    def __init__(
        self, runtime: Runtime, claim: Claim, heartbeat: Heartbeat, steps: Steps, request: Request, folder: LazyFolder
    ) -> None:
        self._runtime, self._claim, self._job = runtime, claim, claim.job
        self._heartbeat, self._steps, self._folder = heartbeat, steps, folder
        self._output = f"{request.output or runtime.settings.output}{claim.job.id}/"
        #: Whether the ledger may have steps or calls of this job. The first attempt has none before it asks for one.
        self.may_have_steps = claim.lease.epoch > 1
        #: Facts that the pipeline added for the manifest.
        self.manifest_details: dict[str, Any] = {}
        #: By URI: why an input that a call was built with cannot be fetched any more.
        self._missing_inputs: dict[str, InputError] = {}

    @property
    def bounds(self) -> Bounds:
        """The limits of a media child process."""
        return self._runtime.bounds

    @property
    def aligner(self) -> AlignerOptions:
        """How lyrics are aligned on this worker."""
        return self._runtime.aligner

    @property
    def catalogue(self) -> Catalogue:
        """The models of this installation."""
        return self._runtime.catalogue

    @property
    def host(self) -> ModelHost:
        """The host of this process's local models."""
        return self._runtime.host

    @property
    def seed(self) -> int:
        """The job's default seed, below 2**32: derived from its id and content, so the same in every attempt."""
        digest = hashlib.sha256(f"{self._job.id} {self._job.fingerprint}".encode()).digest()
        return int.from_bytes(digest[:4], "big")

    def annotate(self, **details: Any) -> None:
        """Add facts to the manifest's ``details``."""
        self.manifest_details |= details

    def check(self) -> None:
        """Check that this attempt may continue.

        Raises:
            LeaseLost, JobCancelled, DeadlineExceeded: see ``Heartbeat.check``.
        """
        self._heartbeat.check()

    def input(self, name: str, uri: str, *, kinds: Collection[str], limit_bytes: int) -> InputFile:
        """Fetch the file at ``uri`` and return it. Every attempt fetches again.

        If it is gone by the second attempt but a call was built with it, return what the call recorded of it: the
        paid result is still used.
        """
        self.check()
        folder = self._folder.path / "inputs"
        tenant, pin = self._job.tenant, self._job.pins.get(uri)
        try:
            file = fetch_input(
                self._runtime, name, uri, folder, kinds=kinds, limit_bytes=limit_bytes, tenant=tenant, pin=pin
            )
        except (InputNotFound, InputReplaced) as error:
            recorded = input_from_call(calls.of_job(self._runtime.database, self._job.id), name, uri, folder)
            if recorded is None:
                raise
            self._missing_inputs[uri] = error
            return recorded
        with self._runtime.database.write() as connection:
            facts = {"input": name, "bytes": file.bytes, "kind": file.kind}
            note(connection, self._job.id, "input_fetched", epoch=self._claim.lease.epoch, **facts)
        self._heartbeat.progress(job_percentage(0.0))
        failpoint("advance.input_fetched")
        return file

    @contextlib.contextmanager
    def missing_inputs_explained(self) -> Iterator[None]:
        """Raise the reason why an input is missing instead of the error that its absence caused."""
        try:
            yield
        except (InputError, RenderError, FileNotFoundError):
            for reason in self._missing_inputs.values():
                raise reason from None
            raise

    def step(self, name: str, make: StepFunction) -> Sequence[StoredArtifact]:
        """Return the step's stored artifacts: the recorded ones, or what ``make`` makes now."""
        self.check()
        self.may_have_steps = True
        return self._steps.step(name, lambda: self._traced_make(name, make))

    def call(self, name: str, call: ModelCall) -> ModelResult:
        """Return the call's result. The first time, enqueue the call, park the job and do not return."""
        self.check()
        self.may_have_steps = True
        give_up = self._runtime.settings.unknown_outcome_seconds if call.optional else None
        return model_result(self._steps.call(name, lambda: self._call_spec(call), give_up=give_up))

    def store(self, file: LocalFile) -> StoredArtifact:
        """Store a file under its final name and return it; take over what an earlier attempt stored there."""
        uri = self._output + file.name
        # Checked at the door and again here: rules may have changed since, and a pipeline may name any file.
        self._runtime.tenants.check_write(self._job.tenant, uri)
        return store_artifact(self._runtime.storage, file, uri, job_id=self._job.id, fingerprint=self._job.fingerprint)

    def store_unflushed(self, manifest: bytes) -> UnflushedManifest | None:
        """Store the manifest without waiting for the disk. ``None`` if this storage cannot: use ``store``."""
        uri, job, files = self._output + MANIFEST, self._job, self._runtime.storage.small_files
        if files is None or len(manifest) > MAX_UNFLUSHED_BYTES:
            return None
        self._runtime.tenants.check_write(job.tenant, uri)
        with tracing.span("put", {"telecine.uri": uri, "telecine.bytes": len(manifest)}):
            stored = files.put(manifest, uri, manifest_facts(manifest, job.id, job.fingerprint))
        return None if stored is None else UnflushedManifest(job.id, job.fingerprint, uri, stored)

    def _traced_make(self, step: str, make: StepFunction) -> Sequence[StoredArtifact]:
        with tracing.span(f"step {step}"):
            return self._make(step, make)

    def _make(self, step: str, make: StepFunction) -> Sequence[StoredArtifact]:
        folder = self._folder.path / "steps" / step
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            with tracing.span("make"):
                files = make(folder, self._report_rendering)
        except TelecineError as error:
            error.step = error.step or step
            raise
        failpoint("advance.rendered")
        stored: list[StoredArtifact] = []
        for file in files:
            self.check()
            stored.append(self.store(file))
            if len(stored) == 1:
                failpoint("advance.stored_one")
        failpoint("advance.stored_all")
        return stored

    def _call_spec(self, call: ModelCall) -> CallSpec:
        for file in call.inputs.values():
            if file.uri in self._missing_inputs:
                raise self._missing_inputs[file.uri]
        self._check_output(call.output)
        return build_call_spec(self._runtime.catalogue, self._job, call, output_folder=self._output)

    def _check_output(self, output: OutputSpec | None) -> None:
        """Check that the results can be stored, before anything is paid for."""
        self._runtime.tenants.check_write(self._job.tenant, self._output)
        names = [MANIFEST] if output is None else [output.name, MANIFEST]
        uris = [self._output + name for name in names]
        check_output_free(self._runtime.storage, uris, job_id=self._job.id, fingerprint=self._job.fingerprint)

    def _report_rendering(self, part: float) -> None:
        self.check()
        self._heartbeat.progress(job_percentage(part))
