"""``telecine explain``: the complete timeline of a job as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from consumer.ledger.queries import deliveries_of, timeline_of
from consumer.ledger.records import Delivery, Job
from consumer.logs import scrub
from ops.cli.console import JsonOption, out, print_json, show
from ops.cli.opening import opened_ledger, read_settings, require_job
from ops.cli.outputs import media_text, say_where
from ops.cli.status import callback_text, headline
from ops.formatting import count, door_name, duration, local_time, size
from ops.timeline.sentences import TimelineSentence, timeline_sentences
from ops.views import iso, job_view
from ops.waiting_on import waiting_on

_STYLES = {"good": "green", "bad": "red", "odd": "yellow", "plain": ""}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)


def explain(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")],
    as_json: JsonOption = False,
) -> None:
    """Explain what happened to a job, from its receipt to its callback."""
    settings = read_settings()
    with opened_ledger(settings) as database:
        job = require_job(database, job_id)
        lines = timeline_sentences(timeline_of(database, job_id), job.received_at)
        deliveries, now = deliveries_of(database, job_id), database.now()
        waiting = waiting_on(database, job, embedded=settings.embedded)
    if as_json:
        timeline = {"waits_for": waiting, "timeline": [_line_view(line) for line in lines]}
        print_json(job_view(job, deliveries, now=now) | timeline)
        return
    show(headline(job))
    for fact in _header(job):
        show(Text(fact, style="dim"))
    out.print()
    show(_timeline(lines))
    if waiting is not None:
        show(Text(f"\nWaiting for {waiting}."))
    if outputs := (job.outcome or {}).get("outputs"):
        _section("Results", _outputs(outputs))
        say_where(settings)
    if deliveries:
        _section("Callbacks" if len(deliveries) > 1 else "Callback", _callbacks(deliveries))


def _header(job: Job) -> list[str]:
    counted = [count(job.epoch, "attempt")]
    counted += [
        count(number, noun) for number, noun in ((job.crashes, "crash"), (job.duplicates, "duplicate")) if number
    ]
    asked = [] if job.tenant is None else [f"tenant {job.tenant}"]
    if job.priority != "normal":
        asked.append(f"priority {job.priority}")
    if job.deadline_at is not None:
        asked.append(f"deadline {local_time(job.deadline_at)}")
    return [
        f"received {local_time(job.received_at)} through {door_name(job.door)}; {', '.join(counted)}",
        *([", ".join(asked)] if asked else []),
        f"fingerprint {job.fingerprint}",
    ]


def _timeline(lines: Sequence[TimelineSentence]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for line in lines:
        grid.add_row(f"+{duration(line.after_seconds)}", Text(line.sentence, style=_STYLES[line.tone]))
    return grid


def _outputs(outputs: Sequence[dict[str, Any]]) -> list[Text]:
    lines = []
    for output in outputs:
        lines.append(
            Text.assemble((str(output["name"]), "bold"), f"  {size(int(output['bytes']))}  {media_text(output)}")
        )
        lines.append(Text(f"  {output['uri']}", overflow="fold"))
        lines.append(Text(f"  sha256 {output['sha256']}", style="dim"))
    return lines


def _callbacks(deliveries: Sequence[Delivery]) -> list[Text]:
    lines = []
    for delivery in deliveries:
        lines.append(callback_text(delivery))
        lines.append(Text(f"  {scrub(delivery.url)}", overflow="fold"))
        lines.append(Text(f"  webhook-id {delivery.id}", style="dim"))
    return lines


def _section(title: str, lines: Sequence[Text]) -> None:
    out.print()
    show(Text(title, style="bold"))
    if out.is_terminal:
        show(Padding(Group(*lines), (0, 0, 0, 2)))
    else:
        for line in lines:
            show(Text("  ") + line)


def _line_view(line: TimelineSentence) -> dict[str, Any]:
    return {
        "at": iso(line.entry.at),
        "after_seconds": round(line.after_seconds, 3),
        "event": line.entry.event,
        "attempt": line.entry.epoch,
        "detail": line.entry.detail,
        "sentence": line.sentence,
    }
