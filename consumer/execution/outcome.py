"""advance: moves one job as far as it goes now. The one thing that workers do.

Whoever calls it, and however often: it takes the job's lease or does nothing. Whatever kills it,
the next caller goes on after the last finished step.
"""

from __future__ import annotations

import base64
import errno
from collections.abc import Sequence
from pathlib import Path

import structlog

from consumer.callbacks.bodies import job_delivery
from consumer.calls.call_spec import Parked
from consumer.execution.context import JobContext
from consumer.execution.heartbeat import Heartbeat
from consumer.execution.manifest import write_manifest
from consumer.failpoints import failpoint
from consumer.ledger import calls, completion, leases, outbox
from consumer.ledger.leases import Claim
from consumer.ledger.owner import this_process
from consumer.ledger.provenance import Provenance, provenance_of, spent_on
from consumer.ledger.records import Job, Lease
from consumer.ledger.states import CallState, State
from consumer.logs import logger
from consumer.runtime import Runtime
from consumer.storage.scratch import job_folder
from schemas.callback import Output, Status
from schemas.envelope import Request
from schemas.errors import (
    DeadlineExceeded,
    InputError,
    InputUnavailable,
    InternalError,
    JobCancelled,
    LeaseLost,
    RenderError,
    RequestError,
    RetriesExhausted,
    StorageError,
    TelecineError,
    Verdict,
    WorkerLost,
)
from schemas.media import Artifact, Plan

log = logger(__name__)

MAX_RETRY_SECONDS = 900.0
#: How long a job that a provider has delivered to waits for faults on this side: what it has paid for is there.
DELIVERED_SECONDS = 86_400.0
#: The largest file that a callback carries.
MAX_INLINE_BYTES = 1024 * 1024


def advance(runtime: Runtime, job_id: str) -> State | None:
    """Moves the job; answers the state it is left in, or ``None`` when its lease could not be had.

    The answer is ``RUNNING`` when another worker took the job over meanwhile.

    Never raises for what happens to the job: that is written into the ledger.
    """
    claim = leases.claim(runtime.database, job_id, owner=this_process(), seconds=runtime.settings.lease_seconds)
    if claim is None:
        return None
    failpoint("advance.claimed")
    with structlog.contextvars.bound_contextvars(job_id=job_id, type=claim.job.type, attempt=claim.lease.epoch):
        try:
            return _work(runtime, claim)
        except LeaseLost:
            log.warning("lease_lost")
            return State.RUNNING


def _work(runtime: Runtime, claim: Claim) -> State:
    job, lease = claim.job, claim.lease
    try:
        _check_start(runtime, claim)
        request = _readable(runtime, job)
        _tell(runtime, claim, "started")
        heart = Heartbeat(
            runtime.database,
            lease,
            seconds=runtime.settings.lease_seconds,
            tell=lambda percentage: _tell(runtime, claim, "progress", progress=percentage),
        )
        with heart as heartbeat, job_folder(runtime.settings.scratch_folder) as folder:
            return _run(runtime, claim, request, heartbeat, folder)
    except LeaseLost:
        raise
    except Parked:
        log.info("parked")
        return State.WAITING
    except TelecineError as error:
        return _settle(runtime, job, lease, error)
    except Exception as error:
        log.exception("defect")
        return _settle(runtime, job, lease, _defect(error))


def _defect(error: Exception) -> InternalError:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InternalError("the worker has no disk space left for this job")
    return InternalError(f"{type(error).__name__} while working on the job")


def _readable(runtime: Runtime, job: Job) -> Request:
    """The request. It was accepted, so a worker that cannot read it is of another version: another one may."""
    try:
        request = job.parsed()
    except RequestError as error:
        raise InternalError(f"this worker cannot read the request: {error.message}") from None
    if request.type not in runtime.pipelines:
        raise InternalError(f"this worker has no pipeline for {request.type!r}")
    return request


def _check_start(runtime: Runtime, claim: Claim) -> None:
    job = claim.job
    if job.cancel_requested:
        raise JobCancelled
    if job.deadline_at is not None and job.deadline_at <= claim.now():
        raise DeadlineExceeded
    if job.crashes > runtime.settings.max_crashes:
        raise WorkerLost(
            f"{job.crashes} workers died on this job; look at `telecine explain {job.id}` before sending it anew"
        )


def _run(runtime: Runtime, claim: Claim, request: Request, heartbeat: Heartbeat, folder: Path) -> State:
    job, lease = claim.job, claim.lease
    output = f"{request.output or runtime.settings.output}{job.id}/"
    context = JobContext(runtime, job, lease, heartbeat, output=output, folder=folder)
    pipeline = runtime.pipelines[request.type]
    if request.plan_only:
        return _finish_plan(runtime, claim, pipeline.plan(request.data, context))
    try:
        artifacts = pipeline.run(request.data, context)
    except (InputError, RenderError, FileNotFoundError):
        # What needs a file that is gone fails in its own way; the reason is that it is gone.
        for gone in context.missing_inputs.values():
            raise gone from None
        raise
    heartbeat.check()
    completion.start_storing(runtime.database, lease)
    failpoint("advance.before_manifest")
    credit = provenance_of(runtime.database, job, context.manifest_details)
    manifest = write_manifest(runtime, claim, context, artifacts, folder, credit)
    failpoint("advance.after_manifest")
    heartbeat.check()
    return _finish(runtime, claim, [*artifacts, manifest], credit, folder)


def _finish(runtime: Runtime, claim: Claim, artifacts: Sequence[Artifact], credit: Provenance, folder: Path) -> State:
    outputs = [_output(runtime, artifact, folder) for artifact in artifacts]
    delivery = job_delivery(claim.job, "completed", status="completed", now=claim.now(), outputs=outputs, credit=credit)
    # A presigned URL is a secret, and a picture is large: the ledger keeps both in the callback's body only.
    outcome = {"outputs": [output.model_dump(exclude_none=True, exclude={"url", "base64"}) for output in outputs]}
    failpoint("advance.before_finish")
    completion.finish(runtime.database, claim.lease, State.COMPLETED, outcome=outcome, delivery=delivery)
    failpoint("advance.finished")
    log.info("completed", outputs=len(outputs))
    return State.COMPLETED


def _finish_plan(runtime: Runtime, claim: Claim, plan: Plan) -> State:
    record = plan.model_dump(mode="json", exclude_none=True)
    delivery = job_delivery(claim.job, "completed", status="completed", now=claim.now(), plan=record)
    completion.start_storing(runtime.database, claim.lease, event="planned")
    completion.finish(runtime.database, claim.lease, State.COMPLETED, outcome={"plan": record}, delivery=delivery)
    return State.COMPLETED


def _settle(runtime: Runtime, job: Job, lease: Lease, error: TelecineError) -> State:
    """Writes what an error means for the job: another try later, or its end."""
    if error.verdict in (Verdict.LATER, Verdict.ELSEWHERE):
        failures = job.failures + 1
        if failures < runtime.settings.max_failures or _is_worth_waiting(runtime, job, error):
            wait = min(MAX_RETRY_SECONDS, runtime.settings.retry_seconds * 2 ** min(job.failures, 30))
            leases.park(
                runtime.database, lease, seconds=wait, event="retry_later", failures=failures,
                code=error.code, message=error.message, step=error.step,
            )  # fmt: skip
            log.warning("retry_later", code=error.code, seconds=wait, failures=failures)
            return State.WAITING
        error = RetriesExhausted(
            f"tried {failures} times; last: {error.message} ({error.code})", field=error.field, step=error.step
        )
    state = end_state(error)
    completion.finish(
        runtime.database, lease, state, error=error, delivery=failure_delivery(runtime, job, state, error)
    )
    failpoint("advance.finished")
    log.warning("ended", state=state.value, code=error.code)
    return state


def _is_worth_waiting(runtime: Runtime, job: Job, error: TelecineError) -> bool:
    """Whether a fault on this side keeps a job from its end that a provider has delivered to within a day."""
    if not isinstance(error, StorageError | InputUnavailable | InternalError):
        return False
    since = runtime.database.now() - DELIVERED_SECONDS
    rows = calls.of_job(runtime.database, job.id)
    return any(row.state is CallState.DONE and (row.finished_at or 0.0) > since for row in rows)


def end_state(error: TelecineError) -> State:
    """The terminal state that an error leads to."""
    if isinstance(error, JobCancelled):
        return State.CANCELLED
    return State.EXPIRED if isinstance(error, DeadlineExceeded) else State.FAILED


def failure_delivery(runtime: Runtime, job: Job, state: State, error: TelecineError) -> outbox.NewDelivery | None:
    """The callback about a job that ended without its result."""
    status: Status = "cancelled" if state is State.CANCELLED else "expired" if state is State.EXPIRED else "failed"
    cost = spent_on(runtime.database, job.id)
    return job_delivery(job, "failed", status=status, now=runtime.database.now(), error=error, cost=cost)


def _tell(runtime: Runtime, claim: Claim, event: str, *, progress: int | None = None) -> None:
    """Puts a callback about a running job into the outbox, if somebody asked for it; each is told once."""
    delivery = job_delivery(claim.job, event, status="running", now=claim.now(), progress=progress)
    if delivery is not None:
        with runtime.database.write() as connection:
            leases.hold(connection, claim.lease)
            outbox.enqueue(runtime.database, connection, delivery)


def _output(runtime: Runtime, artifact: Artifact, folder: Path) -> Output:
    assert artifact.uri is not None
    assert artifact.sha256 is not None
    assert artifact.bytes is not None
    facts = artifact.facts.model_dump(exclude={"video_codec", "audio_codec"})
    return Output(
        name=artifact.name,
        uri=artifact.uri,
        url=runtime.storage.url(artifact.uri, runtime.settings.result_url_seconds),
        sha256=artifact.sha256,
        bytes=artifact.bytes,
        content_type=artifact.content_type,
        base64=_content(runtime, artifact, folder),
        **facts,
    )


def _content(runtime: Runtime, artifact: Artifact, folder: Path) -> str | None:
    """The file itself, where the request asked for it and it is small."""
    if not artifact.inline or artifact.bytes is None or artifact.bytes > MAX_INLINE_BYTES:
        return None
    assert artifact.uri is not None
    copy = folder / "inline"
    runtime.storage.fetch(artifact.uri, copy, MAX_INLINE_BYTES)
    return base64.b64encode(copy.read_bytes()).decode()
