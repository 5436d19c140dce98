"""Signing in with a token, and signing out."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request as HttpRequest
from starlette.responses import RedirectResponse, Response

from ops.dashboard.access import COOKIE, SESSION_SECONDS, check_origin
from ops.dashboard.view import Dashboard, View, read_fields


async def sign_in_page(request: HttpRequest) -> Response:
    """Return the page to sign in; with ``?token=``, as `telecine dashboard` prints it, sign in at once."""
    dashboard: Dashboard = request.app.state.dashboard
    view = View.without_visitor(dashboard, request)
    if token := request.query_params.get("token"):
        # Not with tokens of the settings: a link of another person would sign in with that person's token.
        return _signed_in(view, token if dashboard.access.is_open else "", "/")
    return view.render("sign_in.html", next=_path(request.query_params.get("next", "/")), problem="")


async def sign_in(request: HttpRequest) -> Response:
    """Open a session for a valid token."""
    dashboard: Dashboard = request.app.state.dashboard
    check_origin(request)
    fields = await read_fields(request, dashboard.settings)
    return _signed_in(
        View.without_visitor(dashboard, request), fields.get("token", "").strip(), _path(fields.get("next", "/"))
    )


async def sign_out(request: HttpRequest) -> Response:
    """End the session in this browser."""
    dashboard: Dashboard = request.app.state.dashboard
    check_origin(request)
    view = View.without_visitor(dashboard, request)
    response = view.redirect("/sign-in")
    response.delete_cookie(COOKIE, path=view.root or "/")
    return response


def _signed_in(view: View, token: str, path: str) -> Response:
    session = view.dashboard.access.sign_in(token)
    if session is None:
        return view.render("sign_in.html", status=403, next=path, problem="This token is not known.")
    response = RedirectResponse(f"{view.root}{path}", 303)
    response.set_cookie(
        COOKIE,
        session,
        max_age=SESSION_SECONDS,
        path=view.root or "/",
        secure=view.request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


def _path(text: str) -> str:
    """Return a path of this dashboard: never the address of another site."""
    parts = urlsplit(text)
    safe = not parts.scheme and not parts.netloc and text.startswith("/") and not text.startswith(("//", "/\\"))
    return text if safe and text.isprintable() else "/"
