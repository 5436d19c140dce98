"""The files of jobs, from Telecine's own storage."""

from __future__ import annotations

from anyio.to_thread import run_sync
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from ops.dashboard.view import Dashboard, View
from ops.edge.content import content_response
from ops.edge.core import output_of
from ops.edge.refusal import Refusal
from schemas.errors import JobNotFound

#: What a browser shows in a page; everything else is shown as text or downloaded.
_SHOWN = ("image/", "video/", "audio/")
_AS_TEXT = ("application/json", "application/x-subrip", "text/")
#: A file that is opened by itself can run nothing.
_HEADERS = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}


async def file(request: HttpRequest) -> Response:
    """Return a file of a job, whole or one range of it."""
    dashboard: Dashboard = request.app.state.dashboard
    view = View(dashboard, request, dashboard.access.visitor(request))
    job = await run_sync(view.job, limiter=dashboard.threads)
    name = str(request.path_params["name"])
    record = output_of(job, name)
    if record is None:
        raise JobNotFound(f"the job {job.id} has no file {name[:128]!r}")
    if job.results_deleted_at is not None:
        raise Refusal(410, "results_deleted", f"the files of {job.id} were deleted")
    headers = dict(_HEADERS, **{"cache-control": "no-cache, private", "vary": "cookie"})
    shown = record | {"content_type": _served_as(record)}
    async with dashboard.files:
        return await content_response(request, dashboard.runtime.storage, shown, headers=headers)


def _served_as(record: dict[str, object]) -> str:
    kind = str(record.get("content_type", ""))
    if kind.startswith("text/vtt"):
        return "text/vtt; charset=utf-8"
    if kind.startswith(_SHOWN) and "svg" not in kind:
        return kind
    return "text/plain; charset=utf-8" if kind.startswith(_AS_TEXT) else "application/octet-stream"
