"""``telecine up``: run all parts on one machine."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import Annotated, NoReturn

import typer

from consumer import logs, sentry, tracing
from consumer.wakeups.queues import ROLES
from ops.cli.arguments import parse_names
from ops.cli.banner import greet
from ops.cli.opening import read_settings, warn_of_unknown_variables

PARTS = ("doors", "sweep", "calls", "outbox", "worker")
#: Parts that run only if they are named.
MORE_PARTS = ("edge", "dashboard")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("up")(up)


def up(
    only: Annotated[
        str, typer.Option(help=f"Parts to run, comma-separated: {', '.join(PARTS + MORE_PARTS)}.")
    ] = ",".join(PARTS),
    roles: Annotated[str, typer.Option(help=f"Worker roles, comma-separated: {', '.join(ROLES)}.")] = "io,render",
) -> None:
    """Run doors, sweep, calls, outbox and worker on this machine, until Ctrl-C or SIGTERM.

    Running jobs then have 20 seconds to end (15 with a broker); unfinished jobs continue at the next start. A second
    Ctrl-C stops at once.
    """
    settings = read_settings()
    parts, chosen = parse_names(only, PARTS + MORE_PARTS, "part"), parse_names(roles, ROLES, "role")
    stop = threading.Event()
    _stop_on_signals(stop)
    # Imported here, because Celery is slow to import and other commands do not need it.
    from ops.serving import serve

    logs.configure(settings.log_level, settings.log_format)
    sentry.start_sentry(settings)
    tracing.start_tracing()
    warn_of_unknown_variables()
    status = 0 if serve(settings, parts, chosen, stop, greet) else 1
    tracing.stop_tracing()
    _leave(status)


def _stop_on_signals(stop: threading.Event) -> None:
    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    ignored = [name for name in (signal.SIGHUP, signal.SIGQUIT) if signal.getsignal(name) is signal.SIG_IGN]  # `nohup`
    for name in {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}.difference(ignored):
        signal.signal(name, handle)


def _leave(status: int) -> NoReturn:
    """End the process without waiting for threads that are still rendering, which Python itself would do."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
