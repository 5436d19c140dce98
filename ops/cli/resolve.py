"""``telecine resolve``: a person's decision about a paid call whose outcome nobody knows."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from consumer.ledger import call_outcomes, calls
from consumer.ledger.calls import CallRow
from consumer.ledger.database import Database
from consumer.ledger.states import CallState
from ops.cli.console import JsonOption, print_json, say, stop
from ops.cli.opening import known_job, opened_ledger, read_settings
from providers.registry import catalogue_of
from schemas.errors import StepSettled
from schemas.settings import Settings

#: An unset shell variable must not settle a paid call, nor a slash lead to another address of the provider's.
_TASK = re.compile(r"[A-Za-z0-9._:~-]{1,200}")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("resolve")(resolve)


def resolve(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")],
    resubmit: Annotated[bool, typer.Option("--resubmit", help="The provider never got it: send it.")] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Give it up: the job fails, the money counts as spent.")] = False,
    adopt: Annotated[str | None, typer.Option(metavar="TASK", help="This task at the provider is it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Settle a paid call whose outcome is unknown, after a look at the provider's own list of tasks."""
    if resubmit + fail + (adopt is not None) != 1:
        stop("Choose one: --resubmit, --fail or --adopt TASK.", code="invalid_field", status=2)
    if adopt is not None and not _TASK.fullmatch(adopt):
        stop("--adopt takes the task's id as the provider shows it, such as 7f3a-12.", code="invalid_field", status=2)
    settings = read_settings()
    with opened_ledger(settings) as database:
        known_job(database, job_id)
        call = _unknown(database, job_id)
        sentence = _decide(settings, database, call, resubmit=resubmit, adopt=adopt)
    if as_json:
        print_json({"id": job_id, "step": call.step, "key": call.id, "message": sentence})
    else:
        say(sentence)


def _unknown(database: Database, job_id: str) -> CallRow:
    found = [call for call in calls.of_job(database, job_id) if call.state is CallState.UNKNOWN]
    if not found:
        raise StepSettled(
            f"no call of job {job_id!r} has an unknown outcome; `telecine explain {job_id}` tells its story"
        )
    return found[-1]


def _decide(settings: Settings, database: Database, call: CallRow, *, resubmit: bool, adopt: str | None) -> str:
    what = f"step {call.step} of {call.job_id} ({call.model} of {call.provider})"
    if adopt is not None:
        model = catalogue_of(settings).find(call.model, call.order.type)
        call_outcomes.adopt(database, call, adopt, by="cli", give_up_seconds=model.timeout_seconds)
        return f"{what}: task {adopt} is asked for from now on."
    if resubmit:
        call_outcomes.send_again(database, call, by="cli")
        return f"{what}: it is sent again now. If the provider had accepted the first one, both are paid for."
    call_outcomes.write_off(database, call, by="cli")
    return f"{what}: given up; the job fails as outcome_unknown."
