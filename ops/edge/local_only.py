"""Without tokens only this machine may call: not a web page from elsewhere that a browser on this machine shows."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ops.edge.access import is_local_origin


class LocalOnly:
    """Refuses calls whose ``Host`` or ``Origin`` is another machine."""

    def __init__(self, app: ASGIApp, *, origins: frozenset[str]) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or refuse it."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            problem = self._problem(headers.get("host", ""), headers.get("origin"))
            if problem is not None:
                await JSONResponse({"detail": problem}, 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _problem(self, host: str, origin: str | None) -> str | None:
        # A page can make its own name lead to this machine; then the name is in the Host header.
        if not is_local_origin(f"http://{host}"):
            return "without tokens the edge is for this machine only; call it as localhost, or set TELECINE_EDGE_TOKENS"
        if origin is None or is_local_origin(origin) or "*" in self._origins or origin in self._origins:
            return None
        return f"pages from {origin[:200]} may not call; add the origin to TELECINE_EDGE_ORIGINS"
