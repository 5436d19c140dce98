"""``telecine delete`` and ``telecine cleanup``: delete jobs and their files permanently."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from consumer.ledger.database import Database
from consumer.ledger.queries import deliveries_of, find_job
from consumer.ledger.records import Job
from consumer.retention.dead_letters import delete_old_dead_letters
from consumer.retention.job_deleter import JobDeleter
from consumer.storage.factory import storage_of
from ops.cancelling import cancel_now
from ops.cli.console import JsonOption, print_json, remark, say, stop
from ops.cli.opening import opened_ledger, read_settings, require_job
from ops.formatting import count
from ops.views import iso

_POLL_SECONDS = 0.2


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("delete")(delete)
    app.command("cleanup")(cleanup)


def delete(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")],
    force: Annotated[bool, typer.Option("--force", help="Cancel the job first if it has not ended.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0, help="Longest wait for the job's end and for its paid calls, in seconds.")
    ] = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Delete a job that has ended: its results and the edge's uploads in storage, then its record."""
    settings = read_settings()
    deadline = time.monotonic() + timeout
    with opened_ledger(settings) as database:
        job = require_job(database, job_id)
        if not job.terminal:
            if not force:
                stop(
                    f"{job.id} is {job.state.value}. Wait until it ends, or cancel and delete it with --force.",
                    code="job_not_ended",
                )
            job = _cancelled(database, job_id, timeout)
        owed = [item.event for item in deliveries_of(database, job_id) if item.due_at is not None]
        deleter = JobDeleter(settings, database, storage_of(settings))
        deleted = deleter.delete_when_settled(job, deadline - time.monotonic())
    if deleted.kept is not None:
        stop(f"{job.id} was not deleted: {deleted.kept}.", code="not_deleted")
    message = f"Deleted {job.id} and {count(deleted.files, 'file')}."
    if as_json:
        print_json(
            {
                "message": message,
                "job_id": job.id,
                "jobs_deleted": 1,
                "files_deleted": deleted.files,
                "callbacks_dropped": owed,
            }
        )
        return
    say(message)
    if owed:
        remark(f"Undelivered callbacks deleted with it: {', '.join(owed)}.")


def cleanup(
    max_age_hours: Annotated[
        float, typer.Option(min=0, help="Delete jobs that ended more than so many hours ago.")
    ] = 24.0,
    dead_letters_max_age_hours: Annotated[
        float | None,
        typer.Option(min=0, help="Also delete dead letters and their callbacks that are older than so many hours."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be deleted.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete old jobs with their results, and on request old dead letters.

    Files that the HTTP edge stored are deleted with their job, other uploads are kept: give their bucket a lifecycle
    rule. Jobs whose callback is not delivered yet are kept. If a request arrives again after its job was deleted,
    it becomes a new job.
    """
    settings = read_settings()
    with opened_ledger(settings) as database:
        letters = 0
        if dead_letters_max_age_hours is not None:
            letters = delete_old_dead_letters(database, dead_letters_max_age_hours * 3600, dry_run=dry_run)
        cutoff = database.now() - max_age_hours * 3600
        deleter = JobDeleter(settings, database, storage_of(settings))
        if dry_run:
            found = [(1, len((job.outcome or {}).get("outputs", []))) for job in deleter.older(max_age_hours * 3600)]
            kept = []
        else:
            done = list(deleter.delete_older(max_age_hours * 3600))
            found = [(1, item.files) for item in done if item.kept is None]
            kept = [item for item in done if item.kept is not None]
    jobs, files = len(found), sum(number for _, number in found)
    verb = "Would delete" if dry_run else "Deleted"
    message = f"{verb} {count(jobs, 'job')} and {count(files, 'file')} that are older than {max_age_hours:g} h."
    if letters:
        message += f" {verb} {count(letters, 'dead letter')} older than {dead_letters_max_age_hours:g} h."
    if as_json:
        report = {
            # Without --dry-run the source system's words.
            "message": message if dry_run else "Cleanup completed",
            "jobs_deleted": jobs,
            "files_deleted": files,
            "dead_letters_deleted": letters,
            "cutoff_time": iso(cutoff),
            "dry_run": dry_run,
        }
        print_json(report | {"kept": [{"job_id": item.job_id, "reason": item.kept} for item in kept]})
    else:
        say(message)
        for item in kept:
            remark(f"Kept {item.job_id}: {item.kept}.")
    if kept:
        raise typer.Exit(1)


def _cancelled(database: Database, job_id: str, timeout_seconds: float) -> Job:
    """Cancel the job, wait until it has ended, and return it."""
    job = cancel_now(database, job_id)
    deadline = time.monotonic() + timeout_seconds
    while not job.terminal:
        if time.monotonic() >= deadline:
            stop(
                f"{job_id} is being cancelled but has not ended after {timeout_seconds:g} s; try again later.",
                code="job_not_ended",
                status=2,
            )
        time.sleep(_POLL_SECONDS)
        job = find_job(database, job_id) or job
    return job
