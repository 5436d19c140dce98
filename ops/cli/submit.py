"""``telecine submit``: puts a request where the doors look."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from consumer.intake.inbox import drop
from consumer.ledger.database import Database
from consumer.ledger.queries import find_job
from consumer.ledger.records import Job
from consumer.ledger.states import State
from consumer.runtime import open_ledger
from schemas.envelope import Cancel
from schemas.errors import InvalidEnvelope
from schemas.parse import parse_request
from schemas.settings import Settings

from ops.cli.console import JsonOption, err, out, print_json


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("submit")(submit)


def submit(
    file: Annotated[str, typer.Argument(help="A file with one JSON request, or - for standard input.")],
    wait: Annotated[bool, typer.Option("--wait", help="Show the progress and wait for the end.")] = False,
    timeout: Annotated[float, typer.Option(help="Longest wait in seconds.")] = 3600.0,
    as_json: JsonOption = False,
) -> None:
    """Check a request, send it, and print its id."""
    body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    settings = Settings()
    request = parse_request(body, limit_bytes=settings.max_message_bytes)
    send(settings, body)
    if isinstance(request, Cancel):
        out.print(request.id)
        return
    if not wait:
        print_json({"id": request.id}) if as_json else out.print(request.id)
        return
    job = wait_for(open_ledger(settings), request.id, timeout_seconds=timeout, quiet=as_json)
    if as_json:
        print_json({"id": job.id, "status": job.state.value, "outcome": job.outcome, "error": job.error})
    else:
        _report(job)
    if job.state is not State.COMPLETED:
        raise typer.Exit(1)


def send(settings: Settings, body: bytes) -> None:
    """Puts the request into the inbox, or on the first request queue of the broker, confirmed."""
    if settings.broker_url is None:
        drop(settings.inbox_folder, body)
        return
    from consumer.intake.publish import publish

    publish(settings.broker_url.get_secret_value(), settings.amqp_queues[0], [body], delivery_limit=settings.amqp_delivery_limit)


def wait_for(database: Database, job_id: str, *, timeout_seconds: float, quiet: bool = False) -> Job:
    """The job once it has ended, its progress shown meanwhile.

    Raises:
        TelecineError: it has not ended in time.
    """
    columns = (TextColumn("[bold]{task.description}"), BarColumn(40), TaskProgressColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn())
    deadline = time.monotonic() + timeout_seconds
    with Progress(*columns, console=err, disable=quiet) as progress:
        bar = progress.add_task(job_id, total=100, state="sent")
        while time.monotonic() < deadline:
            job = find_job(database, job_id)
            if job is not None:
                progress.update(bar, completed=job.progress, state=job.state.value)
                if job.terminal:
                    return job
            time.sleep(0.1)
    raise InvalidEnvelope(f"job {job_id} has not ended after {timeout_seconds:g} s; is `telecine up` running? `telecine status {job_id}` shows it")


def _report(job: Job) -> None:
    if job.error is not None:
        err.print(f"[bold red]{job.state.value}[/] [bold]{job.error['code']}[/]", end=" ")
        err.print(job.error["message"], markup=False)
        return
    for output in (job.outcome or {}).get("outputs", []):
        out.print(f"{output['name']:14} {output['bytes']:>12,} bytes  {output['uri']}", soft_wrap=True)


