"""``telecine show``: a job together with its request."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.ledger.queries import deliveries_of
from ops.cli.console import JsonOption, out, print_json, show
from ops.cli.opening import opened_ledger, read_settings, require_job
from ops.cli.status import headline
from ops.views import job_view, request_view


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("show")(show_)


def show_(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")],
    request: Annotated[bool, typer.Option("--request", help="Print only the request, as JSON.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a job and its request, as it was admitted, without credentials and queries of URLs."""
    with opened_ledger(read_settings()) as database:
        job = require_job(database, job_id)
        deliveries, now = deliveries_of(database, job_id), database.now()
    if request:
        print_json(request_view(job))
    elif as_json:
        print_json(job_view(job, deliveries, now=now) | {"request": request_view(job)})
    else:
        show(headline(job))
        out.print()
        print_json(request_view(job))
