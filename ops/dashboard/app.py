"""The dashboard's web application: its routes, the rules that every page keeps, and how errors look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from anyio.to_thread import run_sync
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from consumer.logs import logger
from consumer.runtime import Runtime
from ops.dashboard import acting, bulk, callbacks, dead_letters, job_page, jobs, media, overview, providers, sending
from ops.dashboard.access import check_origin
from ops.dashboard.headers import PageHeaders
from ops.dashboard.session import sign_in, sign_in_page, sign_out
from ops.dashboard.view import Dashboard, View, read_fields
from ops.edge.local_only import LocalOnly
from ops.edge.refusal import Refusal, status_of
from schemas.errors import TelecineError

log = logger(__name__)

#: What makes a page: runs in a thread, because it reads the ledger.
Handler = Callable[[View], Response]

_STATIC = Path(__file__).with_name("static")

_PAGES: Mapping[str, Handler] = {
    "/": overview.page,
    "/jobs": jobs.page,
    "/jobs/{job_id}": job_page.page,
    "/send": sending.page,
    "/callbacks": callbacks.page,
    "/callbacks/{webhook_id}": callbacks.one,
    "/dead-letters": dead_letters.page,
    "/dead-letters/{number}": dead_letters.one,
    "/providers": providers.page,
    "/bulk": bulk.page,
    "/bulk/{run_id}": bulk.progress,
}
_FORMS: Mapping[str, Handler] = {
    "/jobs/{job_id}/{action}": acting.act_on_job,
    "/callbacks/{webhook_id}/replay": acting.replay_callback,
    "/dead-letters/{number}/{action}": acting.act_on_dead_letter,
    "/pauses": acting.pause_or_resume,
    "/send": sending.send,
    "/send/demo": sending.send_demo,
    "/bulk": bulk.start,
}


def build_dashboard(runtime: Runtime, *, local_token: str | None = None) -> Starlette:
    """Return the application for one process. ``local_token`` lets one act where there are no tokens."""
    dashboard = Dashboard(runtime, local_token)
    routes: list[Route | Mount] = [
        Route("/sign-in", sign_in_page, methods=["GET"]),
        Route("/sign-in", sign_in, methods=["POST"]),
        Route("/sign-out", sign_out, methods=["POST"]),
        Route("/jobs/{job_id}/files/{name}", media.file, methods=["GET"]),
        Mount("/static", StaticFiles(directory=_STATIC)),
    ]
    routes += [Route(path, _page(handler), methods=["POST"]) for path, handler in _FORMS.items()]
    routes += [Route(path, _page(handler), methods=["GET"], name=path) for path, handler in _PAGES.items()]
    middleware = [Middleware(PageHeaders)]
    if dashboard.access.is_open:
        middleware.insert(0, Middleware(LocalOnly, origins=frozenset()))
    app = Starlette(routes=routes, middleware=middleware)
    app.state.dashboard = dashboard
    for kind in (TelecineError, Refusal, SQLAlchemyError, ClientDisconnect, 404):
        app.add_exception_handler(kind, _refuse)
    return app


def _page(handler: Handler) -> Callable[[HttpRequest], object]:
    async def endpoint(request: HttpRequest) -> Response:
        dashboard: Dashboard = request.app.state.dashboard
        visitor = dashboard.access.visitor(request)
        form: Mapping[str, str] = {}
        if request.method == "POST":
            check_origin(request)
            if not visitor.may_act:
                raise Refusal(403, "read_only", "this needs a token that may act; sign in with one")
            form = await read_fields(request, dashboard.settings, request_bytes=dashboard.settings.max_message_bytes)
            dashboard.access.check_form(visitor, form.get("form_token", ""))
        response = await run_sync(handler, View(dashboard, request, visitor, form), limiter=dashboard.threads)
        if request.method == "POST":
            log.info("dashboard_action", by=visitor.by, path=request.url.path)
        return response

    return endpoint


async def _refuse(request: HttpRequest, error: Exception) -> Response:
    """Return the page for an error; without a session, where one is needed, the page to sign in."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)  # the client does not read it
    dashboard: Dashboard = request.app.state.dashboard
    view = View.without_visitor(dashboard, request)
    if isinstance(error, Refusal) and error.status == 401:
        return view.render("sign_in.html", status=401, next=view.address, problem="")
    status, code, message = 404, "not_found", "There is no such page."
    if isinstance(error, SQLAlchemyError):
        log.warning("dashboard_ledger_failed", reason=type(error).__name__)
        status, code = 503, "ledger_unavailable"
        message = "The ledger does not answer. Jobs go on as soon as it does; this page tries again by itself."
    elif isinstance(error, TelecineError | Refusal):
        status = error.status if isinstance(error, Refusal) else status_of(error)
        code, message = error.code, error.message
    # After an action the page of the thing that it was about.
    back = view.path.rpartition("/")[0] if request.method == "POST" else ""
    return view.render("error.html", status=status, code=code, message=message, back=back)
