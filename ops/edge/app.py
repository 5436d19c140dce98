"""The web application: all routes, and how errors become responses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

from anyio.to_thread import run_sync
from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse, Response

from consumer.logs import logger
from consumer.runtime import Runtime
from consumer.storage.scratch import clear_abandoned
from ops.dashboard.requirements import has_packages
from ops.edge import gateway, i2v, images, local_video, native, reel
from ops.edge.core import Edge
from ops.edge.dependencies import TheEdge
from ops.edge.local_only import LocalOnly
from ops.edge.machine import health_report, machine_report
from ops.edge.pages import PAGE
from ops.edge.prefixes import LOCAL_VIDEO, SystemPrefixes, path_of, system_of
from ops.edge.refusal import Refusal, plain_message, record_of, status_of, validation_detail
from schemas.errors import InputTooLarge, ProviderError, RequestError, TelecineError
from schemas.text_to_image import DEFAULT_MODEL

log = logger(__name__)

_LOCAL_ORIGINS = r"https?://(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?"
_STORY_PATHS = ("/generate", "/generate-video", "/generate-video/info")
_ENDPOINTS = {
    "generate_image": "/generate",
    "generate_video": "/generate-video",
    "video_info": "/generate-video/info",
    "create_reel": "/jobs/create-video",
    "image_to_video": "/api/v1/i2v",
    "models": "/v1/models",
    "jobs": "/v1/jobs",
    "docs": "/docs",
}


def build_app(runtime: Runtime) -> FastAPI:
    """Return the application for one process."""
    edge = Edge(runtime)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await run_sync(clear_abandoned, runtime.settings.scratch_folder)  # of an edge that was killed
        watching = asyncio.create_task(edge.watch.run())
        yield
        watching.cancel()

    app = FastAPI(
        title="Telecine", version=version("telecine"), lifespan=lifespan, description="Requests over HTTP: see /docs."
    )
    app.state.edge = edge
    for part in (native, gateway, reel, images, i2v, local_video):
        app.include_router(part.router)
    app.add_api_route("/", root, methods=["GET"], response_model=None, tags=["Image and Video Generation"])
    app.add_api_route("/health", health, methods=["GET"], tags=["Health"])
    for path in ("/static/index.html", "/static/async_test.html"):
        app.add_api_route(path, page, methods=["GET"], response_class=HTMLResponse, include_in_schema=False)
    for kind in (TelecineError, Refusal, SQLAlchemyError, ClientDisconnect):
        app.add_exception_handler(kind, _refuse)
    if _shows_dashboard(runtime):
        from ops.dashboard.app import build_dashboard

        app.mount("/dashboard", build_dashboard(runtime))
    _protect(app, edge)
    return app


def _shows_dashboard(runtime: Runtime) -> bool:
    """Return whether the dashboard is installed, and visitors need a token if callers do."""
    return has_packages() and bool(runtime.settings.dashboard_tokens or not runtime.settings.edge_tokens)


async def root(request: HttpRequest, edge: TheEdge) -> Response:
    """Return a page to a browser, and what is running to a program."""
    if system_of(request) == LOCAL_VIDEO or "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(PAGE)
    report = await run_sync(machine_report, edge.runtime)
    return JSONResponse(
        {"status": "running", "device": report["device"] or "cpu", "model": DEFAULT_MODEL, "endpoints": _ENDPOINTS}
    )


async def health(edge: TheEdge) -> JSONResponse:
    """Return the health, with the keys of all source systems."""
    report = await run_sync(health_report, edge.runtime)
    return JSONResponse(report, 503 if report["status"] == "unhealthy" else 200)


async def page() -> HTMLResponse:
    """Return the page for trying reels and local videos."""
    return HTMLResponse(PAGE)


def _protect(app: FastAPI, edge: Edge) -> None:
    """Add CORS, and without tokens the check that the call comes from this machine."""
    origins = edge.settings.edge_origins
    everywhere = "*" in origins or (edge.access.has_tokens and not origins)
    if not edge.access.has_tokens:
        app.add_middleware(LocalOnly, origins=frozenset(origins))
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"] if everywhere else origins,
        allow_origin_regex=None if everywhere or edge.access.has_tokens else _LOCAL_ORIGINS,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["*"],
    )
    app.add_middleware(SystemPrefixes)


async def _refuse(request: HttpRequest, error: Exception) -> Response:
    """Return the response for an error, in the form of the call that it is about."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)  # the client does not read it
    if not isinstance(error, TelecineError | Refusal):
        log.warning("edge_ledger_failed", reason=type(error).__name__)
        error = Refusal(503, "ledger_unavailable", "the ledger does not answer; ask again later", retry_after="5")
    status = error.status if isinstance(error, Refusal) else status_of(error)
    headers = error.headers if isinstance(error, Refusal) else {}
    path = path_of(request)
    if path.startswith(("/v1/jobs", "/v1/uploads")):
        return JSONResponse({"error": record_of(error)}, status, headers)
    if path.startswith("/v1/") and status == 413:
        status = 400  # the only status for a bad request in the gateway's documentation
    if path == "/generate" and images.for_local_video(request):
        body: dict[str, Any] = {"success": False, "video_url": None, "error": plain_message(error)}
        return JSONResponse(body, 400 if status in (413, 409) else status, headers)
    if path in _STORY_PATHS and status == 400 and isinstance(error, RequestError):
        return JSONResponse({"detail": validation_detail(error)}, 422, headers)
    return JSONResponse({"detail": _detail(path, error)}, status, headers)


def _detail(path: str, error: TelecineError | Refusal) -> str:
    """Return the message as the source has it."""
    message = plain_message(error)
    if isinstance(error, InputTooLarge):
        return "File too large"
    return f"Polling failed: {message}" if path.startswith("/v1/") and isinstance(error, ProviderError) else message
