"""``telecine health``: whether the Telecine on this machine is healthy, as an exit status."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli.console import JsonOption, print_json, say, stop
from ops.cli.reading import read_settings
from ops.health_client import ask_health, health_address


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("health")(health)


def health(
    ready: Annotated[bool, typer.Option("--ready", help="Fail also if it is degraded.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask the Telecine on this machine whether it is healthy. The exit status is 1 if it is not, or does not answer.

    For container engines and supervisors; it reads TELECINE_HEALTH_HOST and TELECINE_HEALTH_PORT.
    """
    settings = read_settings()
    answer = ask_health(settings)
    if answer is None:
        where = health_address(settings) or "a port that is chosen at each start; set TELECINE_HEALTH_PORT"
        stop(f"No Telecine answers at {where}.", code="no_answer")
    if as_json:
        print_json(answer.report)
    else:
        say(f"{answer.status}  {answer.faults}".rstrip())
    if answer.status not in (("healthy",) if ready else ("healthy", "degraded")):
        raise typer.Exit(1)
