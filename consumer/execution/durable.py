"""Durable execution: a job is claimed, its pipeline runs, each step is recorded once, and the job ends or parks.

    claim ──> run the pipeline ──> step, call, … ──> complete
                     │                └─ result not there yet: park; a later claim replays the pipeline to this point
                     └─ error: retry later, or fail

A crash anywhere leaves a lease that expires. The next claim runs the pipeline again from its first line; a recorded
step returns its recorded result, so the code between two steps must be deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from consumer.calls.call_spec import pipeline_error
from consumer.execution import outcome
from consumer.execution.context import JobContext
from consumer.execution.scopes import attempt_scope
from consumer.failpoints import failpoint
from consumer.ledger import calls, leases, retries, steps
from consumer.ledger.call_records import CallRow
from consumer.ledger.call_request import CallSpec
from consumer.ledger.owner import this_process
from consumer.ledger.states import CallState, State, StepState
from consumer.logs import logger
from consumer.runtime import Runtime
from consumer.storage.scratch import LazyFolder
from schemas.errors import LeaseLost
from schemas.media import StoredArtifact

log = logger(__name__)


class Parked(BaseException):
    """Unwind the pipeline: the job waits for a provider. Not an ``Exception``, so that no pipeline swallows it."""


def advance(runtime: Runtime, job_id: str) -> State | None:
    """Claim the job and run it. Return its new state, or ``None`` if it is not due or a worker holds its lease."""
    claim = leases.claim(runtime.database, job_id, owner=this_process(), seconds=runtime.settings.lease_seconds)
    return None if claim is None else run(runtime, claim)


def run(runtime: Runtime, claim: leases.Claim) -> State:
    """Run a claimed job until it ends or parks. Never raises for what happens to it: that is recorded in the ledger."""
    with attempt_scope(claim):
        try:
            return _attempt(runtime, claim)
        except LeaseLost:  # another worker took the job over: it records what becomes of it
            log.warning("lease_lost")
            return State.RUNNING


def _attempt(runtime: Runtime, claim: leases.Claim) -> State:
    try:
        return _run(runtime, claim)
    except LeaseLost:
        raise
    except Parked:
        log.info("job_parked", duration=claim.duration())
        return State.WAITING
    except Exception as error:
        return outcome.retry_or_fail(runtime, claim, error)


def _run(runtime: Runtime, claim: leases.Claim) -> State:
    outcome.check_runnable(runtime, claim)
    request = outcome.parse_request(runtime, claim.job)
    pipeline = runtime.pipelines[request.type]
    outcome.notify(runtime, claim, "started")
    with outcome.heartbeat(runtime, claim) as heartbeat, LazyFolder(runtime.settings.scratch_folder) as folder:
        context = JobContext(runtime, claim, heartbeat, Steps(runtime, claim), request, folder)
        if request.plan_only:
            return outcome.complete_plan(runtime, claim, pipeline.plan(request.data, context))
        with context.missing_inputs_explained():
            artifacts = pipeline.run(request.data, context)
        return outcome.complete(runtime, claim, context, artifacts, folder)


class Steps:
    """The recorded steps of one claimed job."""

    def __init__(self, runtime: Runtime, claim: leases.Claim) -> None:
        self._database, self._job, self._lease = runtime.database, claim.job, claim.lease

    def step(self, name: str, make: Callable[[], Sequence[StoredArtifact]]) -> Sequence[StoredArtifact]:
        """Return the recorded artifacts of step ``name``, or run ``make`` and record what it stored."""
        step = steps.begin(self._database, self._lease, name)
        if step.state is StepState.DONE:
            return [StoredArtifact.model_validate(record) for record in step.result]
        failpoint("advance.step_started")
        artifacts = make()
        records = [artifact.model_dump(mode="json", exclude_none=True) for artifact in artifacts]
        self._record(name, records, [artifact.name for artifact in artifacts])
        return artifacts

    def call(self, name: str, build_spec: Callable[[], CallSpec], *, give_up: float | None = None) -> CallRow:
        """Return the finished call ``name``; the first time, enqueue it and park. ``give_up``: see ``calls``."""
        call, attempt = retries.latest_call(self._database, self._job, name)
        if call is None:
            spec = build_spec()
            failpoint("call.wanted")
            job, key = self._job, (self._database, self._lease, name)
            calls.enqueue_and_park(*key, spec, attempt, tenant=job.tenant, urgency=job.urgency, give_up_seconds=give_up)
            failpoint("call.parked")
            raise Parked
        if not call.settled and (call := calls.park_unless_settled(self._database, self._lease, name, give_up)) is None:
            raise Parked
        if call.state is not CallState.DONE:
            raise pipeline_error(call)
        if not steps.is_done(self._database, self._job.id, name):
            result = None if call.result is None else call.result.to_stored()
            self._record(name, result, call.artifact_names)
        return call

    def _record(self, name: str, result: Any, artifacts: Sequence[str]) -> None:
        steps.record(self._database, self._lease, name, result, artifacts=list(artifacts))
        failpoint("advance.step_recorded")
