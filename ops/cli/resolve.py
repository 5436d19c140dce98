"""``telecine resolve``: an operator's decision about a paid call whose outcome is unknown."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from consumer.ledger import call_resolution, calls
from consumer.ledger.call_records import CallRow
from consumer.ledger.database import Database
from consumer.ledger.states import CallState
from ops.cli.console import JsonOption, print_json, say, stop
from ops.cli.opening import opened_ledger, read_settings, require_job
from providers.registry import catalogue_of
from schemas.errors import StepSettled
from schemas.settings import Settings

#: Rejects an empty id (an unset shell variable) and a slash (which would change the provider's URL).
_TASK = re.compile(r"[A-Za-z0-9._:~-]{1,200}")


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
    if adopt is not None and not _TASK.fullmatch(adopt):
        stop("--adopt takes the task's id as the provider shows it, such as 7f3a-12.", code="invalid_field", status=2)
    settings = read_settings()
    with opened_ledger(settings) as database:
        require_job(database, job_id)
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
            f"no call of job {job_id!r} has an unknown outcome; `telecine explain {job_id}` shows its timeline"
        )
    return found[-1]


def _decide(settings: Settings, database: Database, call: CallRow, *, resubmit: bool, adopt: str | None) -> str:
    what = f"step {call.step} of {call.job_id} ({call.model} of {call.provider})"
    if adopt is not None:
        model = catalogue_of(settings).find(call.model, call.spec.type)
        call_resolution.adopt(database, call, adopt, by="cli", give_up_seconds=model.timeout_seconds)
        return f"{what}: task {adopt} will be polled from now on."
    if resubmit:
        call_resolution.resubmit(database, call, by="cli")
        return f"{what}: submitted again. If the provider had accepted the first call, both will be charged."
    call_resolution.write_off(database, call, by="cli")
    return f"{what}: given up; the job fails with outcome_unknown."
