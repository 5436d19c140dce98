"""``telecine edge``: serve HTTP calls."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer import logs, sentry, tracing
from ops.cli.opening import read_settings, warn_of_unknown_variables
from ops.edge.requirements import check_requirements


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("edge")(edge)


def edge(
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on, default TELECINE_EDGE_HOST; another one than loopback needs tokens."),
    ] = None,
    port: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port to listen on, default TELECINE_EDGE_PORT; 0: any free port. May be repeated.",
        ),
    ] = None,
) -> None:
    """Serve the HTTP calls of the source systems and the native API.

    It keeps no state: requests go through the same queue as with `telecine submit`, and answers come from the ledger.
    Any number of processes may run. `telecine up --only …,edge` runs it together with other parts.
    """
    settings = read_settings()
    host, ports = host or settings.edge_host, port or settings.edge_ports
    check_requirements(settings, host)
    from consumer.wiring import build_runtime
    from ops.edge.server import EdgeServer

    logs.configure(settings.log_level, settings.log_format)
    sentry.start_sentry(settings)
    tracing.start_tracing()
    warn_of_unknown_variables()
    runtime = build_runtime(settings)
    try:
        EdgeServer(runtime, host, ports).run()
    finally:
        tracing.stop_tracing()
        runtime.close()
