"""``telecine plan``: estimate a request without running it."""

from __future__ import annotations

import typer
from rich.text import Text

from ops.cli.arguments import FileArgument, read_request
from ops.cli.console import JsonOption, err, print_json, show, stop
from ops.cli.outputs import plan_table
from ops.cli.reading import read_settings
from schemas.envelope import Cancel
from schemas.parse import parse_request


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan")(plan)


def plan(file: FileArgument, as_json: JsonOption = False) -> None:
    """Validate a request, inspect its inputs and estimate its cost, without sending it or making media.

    Also says what this machine lacks to run it: keys, packages and weights. A worker on another machine may have them.
    """
    from ops.availability import obstacles
    from ops.planning import plan_request

    settings = read_settings()
    request = parse_request(read_request(file), limit_bytes=settings.max_message_bytes)
    if isinstance(request, Cancel):
        stop("A control message has no plan.", code="invalid_request")
    if err.is_terminal and not as_json:
        with err.status("inspecting the inputs"):
            made = plan_request(settings, request)
    else:
        made = plan_request(settings, request)
    record = made.model_dump(mode="json", exclude_none=True)
    lacking = obstacles(settings, request)
    if as_json:
        view = {"job_id": request.id, "type": request.type, "plan": record, "possible": not lacking}
        print_json(view | ({"obstacles": lacking} if lacking else {}))
        return
    show(Text.assemble((request.id, "bold"), f"  {request.type}"))
    show(plan_table(record))
    for reason in lacking:
        show(Text.assemble(("not possible on this machine: ", "bold red"), reason))
