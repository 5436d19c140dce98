"""One path prefix for each source system, for clients whose base address can have a path and not a port of its own."""

from __future__ import annotations

from starlette.requests import Request as HttpRequest
from starlette.types import ASGIApp, Receive, Scope, Send

REEL, IMAGES, I2V, GATEWAY, LOCAL_VIDEO = "/reel", "/sd", "/i2v", "/gateway", "/local"
_PREFIXES = frozenset({REEL, IMAGES, I2V, GATEWAY, LOCAL_VIDEO})


class SystemPrefixes:
    """Takes the prefix of a system off the path, as ``root_path`` of ASGI: links in responses keep it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on."""
        if scope["type"] == "http":
            first = "/" + scope["path"].split("/", 2)[1] if scope["path"].startswith("/") else ""
            if first in _PREFIXES:
                scope = {**scope, "root_path": first}
        await self._app(scope, receive, send)


def system_of(request: HttpRequest) -> str:
    """Return the prefix that the call has; empty without one."""
    return str(request.scope.get("root_path", ""))


def path_of(request: HttpRequest) -> str:
    """Return the path without the prefix."""
    return request.url.path.removeprefix(system_of(request))
