"""``telecine up``: everything on one machine."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer

from consumer import logs, watch
from consumer.queues import ROLES
from ops.cli.banner import greet
from ops.cli.names import some_of
from ops.cli.opening import read_settings

PARTS = ("doors", "sweep", "outbox", "worker")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("up")(up)


def up(
    only: Annotated[str, typer.Option(help=f"Parts to run, comma-separated: {', '.join(PARTS)}.")] = ",".join(PARTS),
    roles: Annotated[str, typer.Option(help=f"Worker roles, comma-separated: {', '.join(ROLES)}.")] = "io,render",
) -> None:
    """Run doors, worker, sweep and outbox on this machine, until Ctrl-C or SIGTERM."""
    settings = read_settings()
    parts, chosen = some_of(only, PARTS, "part"), some_of(roles, ROLES, "role")
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    # Imported here, because Celery takes a while that the other commands need not wait for.
    from ops.serving import serve

    logs.configure(settings.log_level, settings.log_format)
    watch.start_sentry(settings)
    if not serve(settings, parts, chosen, stop, greet):
        raise typer.Exit(1)
