"""The calls of the Instagram Reel Creator."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from consumer.ledger.queries import list_jobs
from consumer.ledger.records import Job
from consumer.ledger.states import State
from consumer.retention.job_deleter import JobDeleter
from ops.edge.access import Caller
from ops.edge.content import content_response
from ops.edge.core import Edge, FileRule, check_file, main_output
from ops.edge.deleting import delete_job, delete_older
from ops.edge.dependencies import TheCaller, TheEdge
from ops.edge.forms import read_form
from ops.edge.openapi import form_body
from ops.edge.refusal import Refusal
from ops.source_status import source_words, states_of_word
from schemas.reel import Reel

router = APIRouter(tags=["Reel Creator"])

_FIELDS = (
    "lyrics",
    "language",
    "font_size",
    "font_color",
    "words_per_group",
    "timing_offset",
    "min_duration",
    "alignment_mode",
    "debug_mode",
)
_BYTES = 100 * 1024 * 1024
_RULES = {
    "image": FileRule(_BYTES, ("jpeg", "png")),
    "audio": FileRule(_BYTES, ("mp3", "wav", "flac")),
}
_BODY = form_body(Reel, _FIELDS, tuple(_RULES), tuple(_RULES))


@router.post("/jobs/create-video", openapi_extra=_BODY)
async def create_job(request: HttpRequest, edge: TheEdge, caller: TheCaller) -> dict[str, Any]:
    """Create a reel in the background."""
    job = await _send(request, edge, caller)
    return {
        "job_id": job.id,
        "status": "pending",
        "created_at": _time(job.received_at),
        "progress_percentage": 0,
    }


@router.post("/create-video", response_class=Response, openapi_extra=_BODY)
async def create_video(request: HttpRequest, edge: TheEdge, caller: TheCaller) -> Response:
    """Create a reel and return it. If the client hangs up, the job goes on."""
    job = await edge.finished(request, await _send(request, edge, caller))
    return await content_response(request, edge.runtime.storage, main_output(job), file_name=f"{job.id}.mp4")


@router.get("/jobs/{job_id}")
async def status(job_id: str, edge: TheEdge, caller: TheCaller) -> dict[str, Any]:
    """Return the state of a job."""
    job = await run_sync(edge.find, job_id, caller)
    return (await run_sync(_views, edge, [job]))[0]


@router.get("/jobs/{job_id}/download", response_class=Response)
@router.head("/jobs/{job_id}/download", include_in_schema=False)
async def download(request: HttpRequest, job_id: str, edge: TheEdge, caller: TheCaller) -> Response:
    """Return the finished reel. With `edge_download_once` its files are deleted afterwards."""
    job = await run_sync(edge.find, job_id, caller)
    if job.state is not State.COMPLETED:
        word = (await run_sync(_views, edge, [job]))[0]["status"]
        raise Refusal(400, "not_completed", f"Job is not completed. Current status: {word}")
    if job.results_deleted_at is not None:
        raise Refusal(410, "results_deleted", "The video was deleted after its download, or because of its age")
    runtime = edge.runtime
    deleter = JobDeleter(edge.settings, runtime.database, runtime.storage)
    return await content_response(
        request,
        runtime.storage,
        main_output(job),
        file_name=f"{job.id}.mp4",
        sent=(lambda: deleter.delete_results(job)) if edge.settings.edge_download_once else None,
    )


@router.delete("/jobs/{job_id}")
async def delete(job_id: str, edge: TheEdge, caller: TheCaller) -> dict[str, Any]:
    """Delete a job with its uploads and its reel. One that has not ended is cancelled first."""
    job = await run_sync(edge.find, job_id, caller)
    deleted = await run_sync(delete_job, edge.runtime, job, limiter=edge.slow)
    return {"message": "Job deleted", "job_id": job_id, "files_deleted": deleted.files}


@router.get("/jobs")
async def jobs(
    edge: TheEdge,
    caller: TheCaller,
    status: Annotated[str | None, Query(description="pending, processing, completed or failed.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[dict[str, Any]]:
    """List reels, newest first."""
    states, at_work = ((), None) if status is None else states_of_word(status)
    if status is not None and not states:
        raise Refusal(400, "invalid_field", "status must be pending, processing, completed or failed")
    tenant = None if caller.all_jobs else caller.tenant
    found = await run_sync(
        lambda: list_jobs(
            edge.runtime.database, states=states, at_work=at_work, tenant=tenant, type_="reel", limit=limit
        )
    )
    return await run_sync(_views, edge, found)


@router.post("/admin/cleanup")
async def cleanup(
    edge: TheEdge, caller: TheCaller, max_age_hours: Annotated[float, Query(ge=0, le=1_000_000)] = 24.0
) -> JSONResponse:
    """Delete jobs that ended more than so many hours ago, with their uploads and results."""
    cutoff = await run_sync(edge.runtime.database.now) - max_age_hours * 3600
    jobs_deleted, files_deleted = await run_sync(
        delete_older, edge.runtime, caller, max_age_hours * 3600, limiter=edge.slow
    )
    return JSONResponse(
        {
            "message": "Cleanup completed",
            "jobs_deleted": jobs_deleted,
            "files_deleted": files_deleted,
            "cutoff_time": _time(cutoff),
        }
    )


async def _send(request: HttpRequest, edge: Edge, caller: Caller) -> Job:
    with edge.scratch() as folder:
        limits = {name: rule.limit_bytes for name, rule in _RULES.items()}
        form = await read_form(request, folder, limits, edge.settings.edge_body_timeout_seconds)
        uploads = {name: check_file(form.files.get(name), name, rule) for name, rule in _RULES.items()}
        data = {name: form.fields[name] for name in _FIELDS if name in form.fields}
        fields = {"id": edge.job_id(request, caller), "type": "reel", "data": data}
        return await edge.send(fields, caller, uploads)


def _views(edge: Edge, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    now = edge.runtime.database.now()
    words = source_words(edge.runtime.database, jobs, now)
    return [_view(job, words[job.id], now) for job in jobs]


def _view(job: Job, word: str, now: float) -> dict[str, Any]:
    started = job.started_at
    return {
        "job_id": job.id,
        "status": word,
        "progress_percentage": job.progress,
        "created_at": _time(job.received_at),
        "started_at": _time(started),
        "processing_time_seconds": None if started is None else round((job.finished_at or now) - started, 1),
        "error_message": job.error["message"] if job.error else None,
    }


def _time(seconds: float | None) -> str | None:
    """Format a time as the source does: UTC without a zone."""
    if seconds is None:
        return None
    return dt.datetime.fromtimestamp(seconds, dt.UTC).replace(tzinfo=None).isoformat(timespec="seconds")
