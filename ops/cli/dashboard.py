"""``telecine dashboard``: serve the dashboard."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from consumer import logs, sentry
from ops.cli.console import show
from ops.cli.opening import read_settings, warn_of_unknown_variables
from ops.dashboard.requirements import check_requirements


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dashboard")(dashboard)


def dashboard(
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on, default TELECINE_DASHBOARD_HOST; beyond loopback it needs tokens."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port to listen on, default TELECINE_DASHBOARD_PORT; 0: any free port."),
    ] = None,
) -> None:
    """Serve the dashboard: jobs with their timelines and media, callbacks, dead letters and providers in a browser.

    Without tokens anybody on this machine may look, and the printed link lets you act. It keeps no state; any number
    of processes may run. `telecine up --only …,dashboard` runs it together with other parts.
    """
    settings = read_settings()
    host, port = host or settings.dashboard_host, settings.dashboard_port if port is None else port
    check_requirements(settings, host)
    from consumer.wiring import build_runtime
    from ops.dashboard.server import DashboardServer

    logs.configure(settings.log_level, settings.log_format)
    sentry.start_sentry(settings)
    warn_of_unknown_variables()
    runtime = build_runtime(settings)
    try:
        server = DashboardServer(runtime, host, port)
        show(Text.assemble("Dashboard  ", (server.url, "bold")))
        if server.sign_in_url is not None:
            show(Text.assemble("To act     ", (server.sign_in_url, "bold")))
        server.run()
    finally:
        runtime.close()
