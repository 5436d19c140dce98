"""The native API: requests as they are, jobs as the ledger has them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse

from consumer.ledger import retries
from consumer.ledger.queries import deliveries_of, find_job, list_jobs
from consumer.ledger.records import Job
from consumer.ledger.states import State
from consumer.storage.edge_uploads import job_uploads_folder, upload_facts
from ops.cancelling import cancel_now
from ops.edge.access import Caller
from ops.edge.content import content_response
from ops.edge.core import Edge, is_job_id, output_of
from ops.edge.deleting import delete_job
from ops.edge.dependencies import TheCaller, TheEdge
from ops.edge.forms import read_file, read_object
from ops.edge.openapi import json_body
from ops.edge.refusal import Refusal
from ops.edge.watch import UNSEEN, Snapshot
from ops.views import job_view
from schemas.errors import InvalidField, JobNotFound

router = APIRouter(prefix="/v1", tags=["Telecine"])
_KEEP_ALIVE_SECONDS = 15.0
#: How long a presigned URL for an upload is valid.
_UPLOAD_SECONDS = 3600
_UPLOAD = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "name": {"type": "string"}, "bytes": {"type": "integer"}},
    "required": ["name", "bytes"],
}
_STATES = tuple(state.value for state in State)


@router.post("/jobs", status_code=202, openapi_extra=json_body({"type": "object"}))
async def create_job(request: HttpRequest, edge: TheEdge, caller: TheCaller) -> JSONResponse:
    """Send a request. `id` may be absent: then it is made from the `Idempotency-Key`, or at random."""
    fields = await read_object(request, edge.settings.max_message_bytes, edge.settings.edge_body_timeout_seconds)
    if fields.get("id") is None:
        fields["id"] = edge.job_id(request, caller)
    job = await edge.send(fields, caller)
    return JSONResponse(
        {"id": job.id, "status": job.state.value, "links": _links(request, job.id)},
        202,
        {"location": f"/v1/jobs/{job.id}"},
    )


@router.get("/jobs")
async def jobs(
    edge: TheEdge,
    caller: TheCaller,
    status: Annotated[str | None, Query(description=f"One of {', '.join(_STATES)}.")] = None,
    type: Annotated[str | None, Query(description="Only jobs of this type.")] = None,  # noqa: A002
    code: Annotated[str | None, Query(description="Only jobs that ended with this error code.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> dict[str, Any]:
    """List jobs, newest first."""
    if status is not None and status not in _STATES:
        raise InvalidField(f"status must be one of {', '.join(_STATES)}", field="status")
    found = await run_sync(
        lambda: list_jobs(
            edge.runtime.database,
            states=() if status is None else (status,),
            tenant=None if caller.all_jobs else caller.tenant,
            type_=type,
            code=code,
            limit=limit,
        )
    )
    now = await run_sync(edge.runtime.database.now)
    return {"jobs": [job_view(job, now=now) for job in found]}


@router.get("/jobs/{job_id}")
async def job(
    request: HttpRequest,
    job_id: str,
    edge: TheEdge,
    caller: TheCaller,
    wait: Annotated[float, Query(ge=0, le=86_400, description="Longest wait for its end, in seconds.")] = 0.0,
) -> dict[str, Any]:
    """Return a job; with `wait` once it has ended, or after so many seconds."""
    found = await edge.wait(request, await run_sync(edge.find, job_id, caller), wait)
    return await run_sync(_view, edge, request, found)


@router.delete("/jobs/{job_id}")
async def delete(job_id: str, edge: TheEdge, caller: TheCaller) -> dict[str, Any]:
    """Delete a job with its uploads and results. One that has not ended is cancelled first."""
    found = await run_sync(edge.find, job_id, caller)
    deleted = await run_sync(delete_job, edge.runtime, found, limiter=edge.slow)
    return {"id": job_id, "deleted": True, "files_deleted": deleted.files}


@router.post("/jobs/{job_id}/cancel")
async def cancel(request: HttpRequest, job_id: str, edge: TheEdge, caller: TheCaller) -> dict[str, Any]:
    """Cancel a job. An idle one ends at once, a running one within seconds."""
    await run_sync(edge.find, job_id, caller)
    ended = await run_sync(lambda: cancel_now(edge.runtime.database, job_id, by="edge"))
    return await run_sync(_view, edge, request, ended)


@router.post("/jobs/{job_id}/retry", status_code=202)
async def retry(
    request: HttpRequest,
    job_id: str,
    edge: TheEdge,
    caller: TheCaller,
    pay_again: Annotated[bool, Query(description="Also if a provider was paid and gave no result.")] = False,
) -> dict[str, Any]:
    """Run an ended job without a result once more."""
    await run_sync(edge.find, job_id, caller)
    done = await run_sync(lambda: retries.retry(edge.runtime.database, job_id, by="edge", pay_again=pay_again))
    return {"id": job_id, "retry": done.number, "links": _links(request, job_id)}


@router.get("/jobs/{job_id}/events", response_class=StreamingResponse)
async def events(request: HttpRequest, job_id: str, edge: TheEdge, caller: TheCaller) -> StreamingResponse:
    """Follow a job by server-sent events: `job` with each change, then `end`."""
    await run_sync(edge.find, job_id, caller)
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    with edge.watch.slot():
        pass  # refused before the response begins, if too many wait
    return StreamingResponse(_events(request, edge, job_id), media_type="text/event-stream", headers=headers)


@router.get("/jobs/{job_id}/outputs/{name}", response_class=Response)
@router.head("/jobs/{job_id}/outputs/{name}", include_in_schema=False)
async def output(
    request: HttpRequest, job_id: str, name: str, edge: TheEdge, expires: str = "", signature: str = ""
) -> Response:
    """Return a file of a completed job, whole or one range of it. A signed link needs no token."""
    signed = edge.access.is_signed(job_id, name, expires, signature)
    caller = Caller(all_jobs=True) if signed else edge.access.caller(request.headers)
    found = await run_sync(edge.find, job_id, caller)
    record = output_of(found, name)
    if record is None:
        raise JobNotFound(f"the job {found.id} has no file {name[:128]!r}")
    _check_kept(found)
    return await content_response(request, edge.runtime.storage, record)


@router.post("/uploads", status_code=201, openapi_extra=json_body(_UPLOAD))
async def create_upload(request: HttpRequest, edge: TheEdge, caller: TheCaller) -> dict[str, Any]:
    """Return where to PUT a file, and its `uri` for the request. The request has to have the returned `id`."""
    body = await read_object(request, edge.settings.max_message_bytes, edge.settings.edge_body_timeout_seconds)
    job_id, name, size = body.get("id") or edge.job_id(request, caller), body.get("name"), body.get("bytes")
    _check_upload_name(job_id, name)
    limit = edge.settings.edge_max_upload_bytes
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= limit:
        raise InvalidField(f"bytes: must be the size of the file, at most {limit:,}", field="bytes")
    uri = f"{job_uploads_folder(edge.settings, caller.tenant, job_id)}{name}"
    url, headers = f"{str(request.base_url).rstrip('/')}/v1/uploads/{job_id}/{name}", {"content-length": str(size)}
    presigned = await run_sync(
        lambda: edge.runtime.storage.upload_url(uri, _UPLOAD_SECONDS, job_id=job_id, size=size, facts=upload_facts())
    )
    if presigned is not None:
        url, headers = presigned.url, dict(presigned.headers)
    return {"id": job_id, "uri": uri, "method": "PUT", "url": url, "headers": headers}


@router.put("/uploads/{job_id}/{name}", status_code=201)
async def upload(request: HttpRequest, job_id: str, name: str, edge: TheEdge, caller: TheCaller) -> dict[str, Any]:
    """Store a file for the request with this id. It is deleted with the job."""
    _check_upload_name(job_id, name)
    with edge.scratch() as folder:
        file = await read_file(
            request,
            folder / "body",
            edge.settings.edge_max_upload_bytes,
            edge.settings.edge_body_timeout_seconds,
        )
        if not file.size:
            raise InvalidField("bytes: the file is empty", field="bytes")
        uri = f"{job_uploads_folder(edge.settings, caller.tenant, job_id)}{name}"
        await run_sync(edge.store, file, uri, job_id)
    return {"id": job_id, "uri": uri, "bytes": file.size, "sha256": file.sha256}


def _check_upload_name(job_id: Any, name: Any) -> None:
    """Check that both can be part of a key.

    Raises:
        InvalidField: One cannot.
    """
    for field, value in (("id", job_id), ("name", name)):
        if not isinstance(value, str) or not is_job_id(value):
            raise InvalidField(f"{field}: may contain A-Z a-z 0-9 . _ : - only, at most 128 characters", field=field)


def _check_kept(job: Job) -> None:
    if job.results_deleted_at is not None:
        raise Refusal(410, "results_deleted", f"the files of {job.id} were deleted")


def _links(request: HttpRequest, job_id: str) -> dict[str, str]:
    base = f"{str(request.base_url).rstrip('/')}/v1/jobs/{job_id}"
    return {"self": base, "events": f"{base}/events", "cancel": f"{base}/cancel"}


def _view(edge: Edge, request: HttpRequest, job: Job) -> dict[str, Any]:
    """Return the job, with a URL for each of its files."""
    database = edge.runtime.database
    view = job_view(job, deliveries_of(database, job.id), now=database.now())
    if view["outputs"] and job.results_deleted_at is None:
        view["outputs"] = [item | {"url": edge.url_of(request, job, item)} for item in view["outputs"]]
    return view | {"links": _links(request, job.id)}


async def _events(request: HttpRequest, edge: Edge, job_id: str) -> AsyncIterator[str]:
    seen: Snapshot = UNSEEN
    number = 0
    with edge.watch.slot():
        while True:
            before = seen
            seen = await edge.watch.changed(job_id, seen, _KEEP_ALIVE_SECONDS)
            if seen == before:
                yield ": waiting\n\n"
                continue
            found = await run_sync(find_job, edge.runtime.database, job_id)
            if found is None:
                yield _event(number, "end", {"job_id": job_id, "status": "deleted"})
                return
            yield _event(number, "job", await run_sync(_view, edge, request, found))
            number += 1
            if found.terminal:
                yield _event(number, "end", {"job_id": job_id, "status": found.state.value})
                return


def _event(number: int, name: str, data: dict[str, Any]) -> str:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
