"""``telecine status``: the current state of one job, or an overview of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from consumer.ledger.queries import deliveries_of
from consumer.ledger.records import Delivery, Job
from ops.cli.console import JsonOption
from ops.cli.opening import opened_ledger, read_settings, require_job
from ops.cli.outputs import outcome_remark, outcome_tables
from ops.cli.watch import Screen, WatchOption, present
from ops.formatting import ago, count, duration, local_time, styled_state
from ops.views import job_view
from ops.waiting_on import waiting_on
from schemas.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(
    job_id: Annotated[
        str | None, typer.Argument(metavar="[JOB]", help="The job's id; without it, an overview of all jobs.")
    ] = None,
    watch: WatchOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show one job, or an overview: what runs, what waits and for what, what failed, and whether Telecine is healthy.

    With --watch, one job is shown until it has ended.
    """
    settings = read_settings()
    if job_id is None:
        # Imported here, because it needs the checks of `telecine doctor`.
        from ops.cli.overview import overview_screen

        present(lambda: overview_screen(settings, quiet=watch), watch=watch, as_json=as_json)
    else:
        present(lambda: _job_screen(settings, job_id), watch=watch, as_json=as_json)


def _job_screen(settings: Settings, job_id: str) -> Screen:
    with opened_ledger(settings) as database:
        job = require_job(database, job_id)
        deliveries = deliveries_of(database, job_id)
        now = database.now()
        waiting = waiting_on(database, job, embedded=settings.embedded)
    lines: list[RenderableType] = [headline(job), _facts(job, deliveries, now, waiting)]
    if tables := outcome_tables(job):
        lines += [Text(""), *tables]
    record = job_view(job, deliveries, now=now) | {"waits_for": waiting}
    return Screen(lines, record, last=job.terminal, remark=outcome_remark(job, settings))


def headline(job: Job) -> Text:
    """Return id, type, state and progress in one line."""
    progress = "" if job.terminal else f"  {job.progress} %"
    return Text.assemble((job.id, "bold"), f"  {job.type}  ", styled_state(job.state.value), progress)


def callback_text(delivery: Delivery) -> Text:
    """Return the callback's event, its state and the receiver's last response."""
    answer = f" ({delivery.last_answer})" if delivery.last_answer else ""
    tries = f" after {count(delivery.attempts, 'attempt')}" if delivery.attempts else ""
    return Text.assemble(f"{delivery.event}  ", styled_state(delivery.state.value), f"{tries}{answer}")


def _facts(job: Job, deliveries: Sequence[Delivery], now: float, waiting: str | None) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    _add_times(grid, job, now)
    if job.priority != "normal":
        grid.add_row("priority", job.priority)
    if job.tenant is not None:
        grid.add_row("tenant", job.tenant)
    if waiting is not None:
        grid.add_row("waiting for", Text(waiting, style="bold red" if "resolve" in waiting else ""))
    elif job.state.value == "waiting":
        grid.add_row("next attempt", f"in {duration(job.not_before - now)}")
    if job.crashes or job.epoch > 1:
        grid.add_row("attempts", f"{job.epoch}" + (f", {count(job.crashes, 'crash')}" if job.crashes else ""))
    if job.error is not None:
        grid.add_row("error", Text.assemble((job.error["code"], "bold red"), f"  {job.error['message']}"))
    if job.cancel_requested and not job.terminal:
        grid.add_row("cancel", "requested; the worker stops at its next heartbeat")
    for delivery in deliveries:
        grid.add_row("callback", callback_text(delivery))
    return grid


def _add_times(grid: Table, job: Job, now: float) -> None:
    grid.add_row("received", f"{local_time(job.received_at)}  ({ago(now - job.received_at)})")
    if job.scheduled_for is not None and job.started_at is None and not job.terminal:
        left = f"  (in {duration(job.scheduled_for - now)})" if job.scheduled_for > now else ""
        grid.add_row("starts", f"not before {local_time(job.scheduled_for)}{left}")
    if job.started_at is not None:
        grid.add_row(
            "started", f"{local_time(job.started_at)}  ({duration(job.started_at - job.received_at)} after receipt)"
        )
        ran = (job.finished_at or now) - job.started_at
        grid.add_row("took" if job.terminal else "so far", duration(ran))
    if job.deadline_at is not None:
        left = f"  (in {duration(job.deadline_at - now)})" if not job.terminal and job.deadline_at > now else ""
        grid.add_row("deadline", local_time(job.deadline_at) + left)
