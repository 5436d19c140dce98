"""``telecine edge``: serve HTTP calls."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from consumer import logs, sentry
from ops.cli.opening import read_settings, warn_of_unknown_variables
from schemas.errors import ConfigurationError
from schemas.settings import Settings

_PACKAGES = ("fastapi", "uvicorn", "python_multipart")
#: Connections that are served at the same time, besides the calls that wait.
_MORE_CONNECTIONS = 500
#: How long calls may take to end after SIGTERM. Jobs do not depend on them.
_STOP_SECONDS = 5

log = logs.logger(__name__)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("edge")(edge)


def edge(
    host: Annotated[str, typer.Option(help="Address to listen on; another one than loopback needs tokens.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free port.")] = 8000,
) -> None:
    """Serve the HTTP calls of the source systems and the native API.

    It keeps no state: requests go through the same queue as with `telecine submit`, and answers come from the ledger.
    Any number of processes may run.
    """
    settings = read_settings()
    _check(settings, host)
    import uvicorn

    from consumer.wiring import build_runtime
    from ops.edge.app import build_app

    logs.configure(settings.log_level, settings.log_format)
    sentry.start_sentry(settings)
    warn_of_unknown_variables()
    listener = _listen(host, port)
    runtime = build_runtime(settings)
    config = uvicorn.Config(
        build_app(runtime),
        log_level="warning",
        access_log=False,
        limit_concurrency=settings.edge_max_open_calls + _MORE_CONNECTIONS,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    bound = listener.getsockname()
    log.info("edge_started", url=f"http://{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}")
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        runtime.close()


def _listen(host: str, port: int) -> socket.socket:
    """Bind the port.

    Raises:
        ConfigurationError: It is in use, or the address does not belong to this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None


def _check(settings: Settings, host: str) -> None:
    """Check that the extra is installed, and that strangers need a token.

    Raises:
        ConfigurationError: Either is not so.
    """
    from importlib.util import find_spec

    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"`telecine edge` needs {', '.join(missing)}: pip install 'telecine[edge]'")
    from ops.edge.access import is_loopback

    if not is_loopback(host) and not settings.edge_tokens:
        raise ConfigurationError(
            f"{host} can be reached by other machines, so callers need tokens; set TELECINE_EDGE_TOKENS, "
            "or listen on 127.0.0.1"
        )
