"""What an attempt comes to: the job completes, is retried later, or ends with an error."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from consumer import tracing
from consumer.callbacks.bodies import job_delivery, subscribes
from consumer.execution.context import JobContext
from consumer.execution.heartbeat import Heartbeat
from consumer.execution.manifest import write_manifest
from consumer.failpoints import failpoint
from consumer.ledger import calls, completion, leases, outbox
from consumer.ledger.completion import Storing
from consumer.ledger.database import is_ledger_fault
from consumer.ledger.leases import Claim
from consumer.ledger.outbox import NewDelivery
from consumer.ledger.provenance import provenance_of, spent_on
from consumer.ledger.records import Job
from consumer.ledger.retries import number_of
from consumer.ledger.states import CallState, State
from consumer.logs import logger
from consumer.runtime import Runtime
from consumer.storage.scratch import LazyFolder
from schemas.backoff import backoff, outage_wait
from schemas.callback import Output, Status
from schemas.envelope import Request
from schemas.errors import (
    DeadlineExceeded,
    InputUnavailable,
    InternalError,
    JobCancelled,
    RenderInterrupted,
    RequestError,
    RetriesExhausted,
    StorageError,
    TelecineError,
    Verdict,
    WorkerLost,
)
from schemas.errors.disk import as_disk_error
from schemas.media import Plan, StoredArtifact

log = logger(__name__)

MAX_RETRY_SECONDS = 900.0
#: How long a job with a paid result keeps retrying when only our own side fails.
DELIVERED_SECONDS = 86_400.0
#: The largest file that a callback carries inline.
MAX_INLINE_BYTES = 1024 * 1024
_TOO_LARGE = f"the file has {{:,}} bytes; a callback contains at most {MAX_INLINE_BYTES:,}. Fetch it from `url`."


def check_runnable(runtime: Runtime, claim: Claim) -> None:
    """Check that the job should still run.

    Raises:
        JobCancelled: it was cancelled while it waited.
        DeadlineExceeded: its deadline has passed.
        WorkerLost: more than ``max_crashes`` workers died on it.
    """
    job = claim.job
    if job.cancel_requested:
        raise JobCancelled
    if job.deadline_at is not None and job.deadline_at <= claim.now():
        raise DeadlineExceeded
    if job.crashes > runtime.settings.max_crashes:
        raise WorkerLost(
            f"{job.crashes} workers died on this job; look at `telecine explain {job.id}` before you send it again"
        )


def parse_request(runtime: Runtime, job: Job) -> Request:
    """Parse the stored request.

    It was validated on admission, so a failure means that another version admitted it: retry on another worker.

    Raises:
        InternalError: this worker cannot read the request, or has no pipeline for its type.
    """
    try:
        request = job.parsed()
    except RequestError as error:
        raise InternalError(f"this worker cannot read the request: {error.message}") from None
    if request.type not in runtime.pipelines:
        raise InternalError(f"this worker has no pipeline for {request.type!r}")
    return request


def heartbeat(runtime: Runtime, claim: Claim) -> Heartbeat:
    """Return the heartbeat of this attempt; it enqueues the progress callbacks."""
    return Heartbeat(
        runtime.heartbeats,
        claim.lease,
        progress=claim.job.progress,
        on_progress=lambda percentage: notify(runtime, claim, "progress", progress=percentage),
    )


def notify(runtime: Runtime, claim: Claim, event: str, *, progress: int | None = None) -> None:
    """Enqueue the ``started`` or ``progress`` callback if the request subscribes to it. Idempotent.

    Raises:
        LeaseLost: another worker has the job.
    """
    if not subscribes(claim.job, event):
        return
    retry = number_of(runtime.database, claim.job)
    delivery = job_delivery(claim.job, event, status="running", now=claim.now(), progress=progress, retry=retry)
    if delivery is not None:
        with runtime.database.write() as connection:
            leases.assert_held(connection, claim.lease)
            outbox.enqueue(runtime.database, connection, delivery)


def complete(
    runtime: Runtime, claim: Claim, context: JobContext, artifacts: Sequence[StoredArtifact], folder: LazyFolder
) -> State:
    """Write the manifest, then end the job as completed together with its callback."""
    context.check()
    storing = Storing(warnings=_warnings(context.manifest_details))
    if artifacts:
        completion.begin_storing(runtime.database, claim.lease, storing)
    failpoint("advance.before_manifest")
    rows = calls.of_job(runtime.database, claim.job.id) if context.may_have_steps else ()
    free = runtime.catalogue.free_models if rows else ()
    provenance = provenance_of(claim.job, rows, context.manifest_details, free=free)
    manifest, unflushed = write_manifest(runtime, claim, context, artifacts, folder, provenance)
    failpoint("advance.after_manifest")
    context.check()
    outputs = [_output(runtime, artifact, folder) for artifact in (*artifacts, manifest)]
    delivery = job_delivery(
        claim.job,
        "completed",
        status="completed",
        now=claim.now(),
        outputs=outputs,
        provenance=provenance,
        retry=number_of(runtime.database, claim.job) if subscribes(claim.job, "completed") else 0,
    )
    # A presigned URL is a secret, and a picture is large: the ledger keeps both in the callback's body only.
    record = {"outputs": [output.model_dump(exclude_none=True, exclude={"url", "base64"}) for output in outputs]}
    failpoint("advance.before_finish")
    completion.finish(
        runtime.database,
        claim.lease,
        State.COMPLETED,
        outcome=record,
        delivery=delivery,
        storing=None if artifacts else storing,
        deferred=claim.deferred,
        manifest=unflushed,
        at_end=claim.at_end,
    )
    failpoint("advance.finished")
    log.info("job_completed", outputs=len(outputs), duration=claim.duration())
    return State.COMPLETED


def complete_plan(runtime: Runtime, claim: Claim, plan: Plan) -> State:
    """End a ``plan_only`` job with its plan; it has no files."""
    record = plan.model_dump(mode="json", exclude_none=True)
    retry = number_of(runtime.database, claim.job)
    delivery = job_delivery(claim.job, "completed", status="completed", now=claim.now(), plan=record, retry=retry)
    storing = Storing("planned", _warnings(plan.details))
    completion.finish(
        runtime.database, claim.lease, State.COMPLETED, outcome={"plan": record}, delivery=delivery, storing=storing
    )
    log.info("job_completed", outputs=0, duration=claim.duration())
    return State.COMPLETED


def _warnings(details: Mapping[str, Any]) -> list[str]:
    """Return the ``warnings`` among the details that a pipeline gave; an extension may use the name otherwise."""
    given = details.get("warnings")
    return [warning for warning in given if isinstance(warning, str)] if isinstance(given, list) else []


def retry_or_fail(runtime: Runtime, claim: Claim, error: Exception) -> State:
    """Park the job for another attempt if the error may pass; otherwise end it with its callback.

    An outage of this installation is not counted as a failure: the job waits while it lasts, or until its deadline.
    """
    job, lease = claim.job, claim.lease
    if not isinstance(error, TelecineError):
        unexpected = error
        error = _as_telecine_error(unexpected)
        if not error.outage:
            log.error("unexpected_error", exc_info=unexpected)
    if error.outage:
        waited = claim.now() - (job.started_at or claim.taken_at)
        return _retry_later(runtime, claim, error, outage_wait(waited, runtime.settings.retry_seconds), job.failures)
    if error.verdict in (Verdict.LATER, Verdict.ELSEWHERE):
        failures = job.failures + 1
        if failures < runtime.settings.max_failures or _paid_result_waits(runtime, job, error):
            seconds = backoff(job.failures, runtime.settings.retry_seconds, MAX_RETRY_SECONDS)
            return _retry_later(runtime, claim, error, seconds, failures)
        error = RetriesExhausted(
            f"tried {failures} times; last: {error.message} ({error.code})", field=error.field, step=error.step
        )
    state = end_state(error)
    tracing.fail(error)
    completion.finish(
        runtime.database, lease, state, error=error, delivery=failure_delivery(runtime, job, state, error)
    )
    failpoint("advance.finished")
    log.warning("job_failed", state=state.value, code=error.code, reason=error.message, duration=claim.duration())
    return state


def _retry_later(runtime: Runtime, claim: Claim, error: TelecineError, seconds: float, failures: int) -> State:
    reason: dict[str, object] = {"code": error.code, "message": error.message, "step": error.step}
    if error.outage:
        reason["outage"] = True
    tracing.fail(error)
    leases.park(runtime.database, claim.lease, seconds=seconds, event="retry_later", failures=failures, **reason)
    log.warning(
        "job_retry_scheduled",
        code=error.code,
        reason=error.message,
        seconds=round(seconds, 3),
        failures=failures,
        duration=claim.duration(),
    )
    return State.WAITING


def end_state(error: TelecineError) -> State:
    """Return the terminal state that an error leads to."""
    if isinstance(error, JobCancelled):
        return State.CANCELLED
    return State.EXPIRED if isinstance(error, DeadlineExceeded) else State.FAILED


def failure_delivery(runtime: Runtime, job: Job, state: State, error: TelecineError) -> NewDelivery | None:
    """Return the callback about a job that ended without a result, or ``None`` if the request asks for none."""
    status: Status = "cancelled" if state is State.CANCELLED else "expired" if state is State.EXPIRED else "failed"
    cost = spent_on(runtime.database, job.id, free=runtime.catalogue.free_models)
    retry = number_of(runtime.database, job)
    return job_delivery(job, "failed", status=status, now=runtime.database.now(), error=error, cost=cost, retry=retry)


def _as_telecine_error(error: Exception) -> TelecineError:
    """Return the error that an unforeseen exception is recorded as. Its text may hold secrets and is left out."""
    if (disk_error := as_disk_error(error)) is not None:
        return disk_error
    if is_ledger_fault(error):
        return InternalError(f"the ledger could not be used ({type(error).__name__})", outage=True)
    return InternalError(f"{type(error).__name__} while working on the job")


def _paid_result_waits(runtime: Runtime, job: Job, error: TelecineError) -> bool:
    """Return whether to keep retrying because a paid result arrived in the last 24 h and only our own side fails."""
    if not isinstance(error, StorageError | InputUnavailable | InternalError | RenderInterrupted):
        return False
    since = runtime.database.now() - DELIVERED_SECONDS
    rows = calls.of_job(runtime.database, job.id)
    return any(row.state is CallState.DONE and (row.finished_at or 0.0) > since for row in rows)


def _output(runtime: Runtime, artifact: StoredArtifact, folder: LazyFolder) -> Output:
    facts: dict[str, Any] = artifact.facts.model_dump(exclude={"video_codec", "audio_codec"})
    inline = artifact.inline and artifact.bytes <= MAX_INLINE_BYTES
    return Output(
        name=artifact.name,
        uri=artifact.uri,
        url=runtime.storage.url(artifact.uri, runtime.settings.result_url_seconds),
        sha256=artifact.sha256,
        bytes=artifact.bytes,
        content_type=artifact.content_type,
        base64=_content(runtime, artifact, folder) if inline else None,
        base64_omitted=_TOO_LARGE.format(artifact.bytes) if artifact.inline and not inline else None,
        **facts,
    )


def _content(runtime: Runtime, artifact: StoredArtifact, folder: LazyFolder) -> str:
    """Return the file as base64."""
    copy = folder.path / "inline"
    runtime.storage.fetch(artifact.uri, copy, MAX_INLINE_BYTES)
    return base64.b64encode(copy.read_bytes()).decode()
