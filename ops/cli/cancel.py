"""``telecine cancel``: end a job early."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.execution.heartbeat import BEAT_SECONDS
from consumer.ledger.records import Job
from consumer.ledger.states import State
from ops.cancelling import cancel_now
from ops.cli.console import JsonOption, print_json, say
from ops.cli.opening import opened_ledger, read_settings, require_job
from ops.views import job_view


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("cancel")(cancel)


def cancel(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")],
    as_json: JsonOption = False,
) -> None:
    """Cancel a job. An idle job ends at once, a running one within seconds.

    The exit status is 1 if the job had ended otherwise, which is not changed.
    """
    settings = read_settings()
    with opened_ledger(settings) as database:
        before = require_job(database, job_id)
        job, now = cancel_now(database, job_id), database.now()
    sentence = _sentence(before, job, min(BEAT_SECONDS, settings.lease_seconds / 3))
    if as_json:
        print_json(job_view(job, now=now) | {"message": sentence})
    else:
        say(sentence)
    if before.terminal and before.state is not State.CANCELLED:
        raise typer.Exit(1)


def _sentence(before: Job, job: Job, beat_seconds: float) -> str:
    if before.terminal:
        return f"{job.id} had already ended as {job.state.value} and was not changed."
    if job.terminal:
        return f"{job.id} is {job.state.value}."
    beat = f"its worker stops at the next heartbeat, within {beat_seconds:.2g} s"
    return f"{job.id} is being cancelled: {beat}. If the worker is dead, the sweep ends the job."
