"""``telecine plan``: what a request would make and cost, without making it."""

from __future__ import annotations

import typer
from rich.table import Table
from rich.text import Text

from ops.cli.console import JsonOption, err, print_json, show, stop
from ops.cli.opening import read_settings
from ops.cli.reading import FileArgument, read_request
from ops.wording import duration
from schemas.envelope import Cancel, Request
from schemas.media import Plan
from schemas.parse import parse_request


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("plan")(plan)


def plan(file: FileArgument, as_json: JsonOption = False) -> None:
    """Check a request, look at its inputs, and estimate it. Nothing is sent, nothing is made."""
    from ops.planning import plan_request

    settings = read_settings()
    request = parse_request(read_request(file), limit_bytes=settings.max_message_bytes)
    if isinstance(request, Cancel):
        stop("A control message has no plan.", code="invalid_request")
    if err.is_terminal and not as_json:
        with err.status("looking at the inputs"):
            made = plan_request(settings, request)
    else:
        made = plan_request(settings, request)
    if as_json:
        print_json(
            {"job_id": request.id, "type": request.type, "plan": made.model_dump(mode="json", exclude_none=True)}
        )
    else:
        show(_facts(request, made))


def _facts(request: Request, made: Plan) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("request", Text.assemble((request.id, "bold"), f"  {request.type}"))
    if made.width and made.height:
        grid.add_row("size", f"{made.width}×{made.height}")
    if made.frames is not None:
        grid.add_row("frames", f"{made.frames:,}" + (f" at {made.fps:g} fps" if made.fps else ""))
    if made.duration_seconds is not None:
        grid.add_row("length", duration(made.duration_seconds))
    grid.add_row("run time", f"about {duration(made.estimated_seconds)}")
    grid.add_row("cost", f"{made.cost.get('amount', '0.00')} {made.cost.get('currency', 'USD')}")
    for name, value in made.details.items():
        grid.add_row(name.replace("_", " "), Text(str(value)))
    return grid
