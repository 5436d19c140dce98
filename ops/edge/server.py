"""The edge's HTTP server: alone, or as a part of ``telecine up``."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import uvicorn

from consumer.logs import logger
from consumer.runtime import Runtime
from ops.edge.app import build_app
from schemas.errors import ConfigurationError

log = logger(__name__)

#: Connections that are served at the same time, besides the calls that wait.
_MORE_CONNECTIONS = 500
#: How long calls may take to end after SIGTERM. Jobs do not depend on them.
_STOP_SECONDS = 5
_BACKLOG = 2048


class EdgeServer:
    """Serves calls until it is stopped."""

    def __init__(self, runtime: Runtime, host: str, ports: Sequence[int]) -> None:
        """Bind the ports.

        Raises:
            ConfigurationError: One is in use, or the address does not belong to this machine.
        """
        self._listeners = [listen(host, port) for port in ports]
        self._server = uvicorn.Server(
            uvicorn.Config(
                build_app(runtime),
                log_level="warning",
                access_log=False,
                limit_concurrency=runtime.settings.edge_max_open_calls + _MORE_CONNECTIONS,
                timeout_graceful_shutdown=_STOP_SECONDS,
            )
        )

    def run(self) -> None:
        """Serve until ``stop``; in the main thread also until a signal."""
        for listener in self._listeners:
            host, port = listener.getsockname()[:2]
            log.info("edge_started", url=f"http://{f'[{host}]' if ':' in host else host}:{port}")
        self._server.run(sockets=self._listeners)

    def stop(self) -> None:
        """Make ``run`` return soon. Call it from any thread."""
        self._server.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        ConfigurationError: It is in use, or the address does not belong to this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
