"""``telecine resolve``: an operator's decision about a paid call whose outcome is unknown."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli.console import JsonOption, print_json, say, stop
from ops.cli.opening import opened_ledger, read_settings, require_job
from ops.resolving import is_task_id, settle, unknown_call
from providers.registry import catalogue_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("resolve")(resolve)


def resolve(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")],
    resubmit: Annotated[
        bool, typer.Option("--resubmit", help="The provider never received it: submit it again.")
    ] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Give up: the job fails and the price counts as spent.")] = False,
    adopt: Annotated[
        str | None, typer.Option(metavar="TASK", help="The provider accepted it as this task: poll that task.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Settle a paid call whose outcome is unknown. First check the provider's own list of tasks."""
    if resubmit + fail + (adopt is not None) != 1:
        stop("Choose one: --resubmit, --fail or --adopt TASK.", code="invalid_field", status=2)
    if adopt is not None and not is_task_id(adopt):
        stop("--adopt takes the task's id as the provider shows it, such as 7f3a-12.", code="invalid_field", status=2)
    settings = read_settings()
    with opened_ledger(settings) as database:
        require_job(database, job_id)
        call = unknown_call(database, job_id)
        sentence = settle(catalogue_of(settings), database, call, by="cli", resubmit=resubmit, adopt=adopt)
    if as_json:
        print_json({"id": job_id, "step": call.step, "key": call.id, "message": sentence})
    else:
        say(sentence)
