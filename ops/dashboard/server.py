"""The dashboard's HTTP server: alone, or as a part of ``telecine up``."""

from __future__ import annotations

import secrets

import uvicorn

from consumer.logs import logger
from consumer.runtime import Runtime
from ops.dashboard.app import build_dashboard
from ops.edge.server import listen

log = logger(__name__)

_CONNECTIONS = 500
_STOP_SECONDS = 3
#: How long an idle connection is kept: longer than open pages wait between two looks.
_IDLE_SECONDS = 30


class DashboardServer:
    """Serves pages until it is stopped."""

    def __init__(self, runtime: Runtime, host: str, port: int) -> None:
        """Bind the port.

        Raises:
            ConfigurationError: It is in use, or the address does not belong to this machine.
        """
        self._listener = listen(host, port)
        #: Lets the person who started it act, where there are no tokens.
        self._token = None if runtime.settings.dashboard_tokens else secrets.token_urlsafe(24)
        self._server = uvicorn.Server(
            uvicorn.Config(
                build_dashboard(runtime, local_token=self._token),
                log_level="warning",
                access_log=False,
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=_STOP_SECONDS,
                timeout_keep_alive=_IDLE_SECONDS,
                server_header=False,
            )
        )

    @property
    def url(self) -> str:
        """The address of the first page."""
        host, port = self._listener.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def sign_in_url(self) -> str | None:
        """The address that signs in at once; ``None`` where there are tokens."""
        return None if self._token is None else f"{self.url}/sign-in?token={self._token}"

    def run(self) -> None:
        """Serve until ``stop``; in the main thread also until a signal."""
        log.info("dashboard_started", url=self.url)
        self._server.run(sockets=[self._listener])

    def stop(self) -> None:
        """Make ``run`` return soon. Call it from any thread."""
        self._server.should_exit = True
