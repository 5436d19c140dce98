"""``telecine callbacks``: list callbacks, show, test and replay them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from consumer.ledger.browsing import list_deliveries
from consumer.ledger.database import Database
from consumer.ledger.outbox import replay as make_due
from consumer.ledger.queries import delivery_ids, find_delivery, find_job, timeline_of
from consumer.ledger.records import Delivery
from consumer.ledger.states import DeliveryState
from consumer.logs import scrub
from ops.cli.console import JsonOption, out, print_json, remark, say, show, stop, table
from ops.cli.opening import opened_ledger, read_settings, require_job
from ops.cli.operator import operator_name
from ops.cli.sample_callback import send_sample
from ops.cli.status import callback_text
from ops.formatting import ago, count, duration, local_time
from ops.timeline.sentences import timeline_sentences
from ops.views import callback_view, iso, scrubbed

_BATCH = 500

StateOption = Annotated[
    str | None,
    typer.Option(
        "--state", help=f"Only this state: {', '.join(DeliveryState)}.", autocompletion=lambda: list(DeliveryState)
    ),
]
JobOption = Annotated[str | None, typer.Option("--job", help="Only callbacks of this job.")]
LimitOption = Annotated[int, typer.Option(min=1, max=100_000, help="Maximum number of callbacks to list.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Callbacks to receivers: list, show, test, replay.")
    group.command("list")(list_)
    group.command("show")(show_)
    group.command("test")(send_sample)
    group.command("replay")(replay)
    app.add_typer(group, name="callbacks")


def list_(
    wanted: StateOption = None,
    job: JobOption = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """List callbacks, newest first."""
    _check(wanted)
    with opened_ledger(read_settings()) as database:
        found = list_deliveries(database, state=wanted, job_id=job, limit=limit)
        now = database.now()
    if as_json:
        print_json([callback_view(delivery) for delivery in found])
    elif not found:
        remark("No callbacks.")
    else:
        _show(found, now)


def show_(
    webhook_id: Annotated[str, typer.Argument(metavar="ID", help="The webhook-id, as printed by `callbacks list`.")],
    raw: Annotated[bool, typer.Option("--raw", help="Write only the exact bytes of the body, to stdout.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one callback: its attempts with the receiver's answers, and its body.

    The body is shown without the queries of presigned URLs, except with --raw.
    """
    with opened_ledger(read_settings()) as database:
        found = find_delivery(database, webhook_id)
        if found is None:
            stop(
                f"There is no callback {webhook_id!r}; `telecine callbacks list` prints the existing ones.",
                code="callback_not_found",
            )
        job = None if found.job_id is None else find_job(database, found.job_id)
        entries = [] if job is None else timeline_of(database, job.id)
    received = found.created_at if job is None else job.received_at
    attempts = [
        line for line in timeline_sentences(entries, received) if line.entry.detail.get("webhook_id") == webhook_id
    ]
    body = _body(found.body)
    if raw:
        sys.stdout.buffer.write(found.body)
        sys.stdout.buffer.flush()
    elif as_json:
        tried = [{"at": iso(line.entry.at), "event": line.entry.event, **line.entry.detail} for line in attempts]
        print_json(callback_view(found) | {"timeline": tried, "body": body})
    else:
        show(_facts(found))
        out.print()
        for line in attempts:
            show(Text(f"{local_time(line.entry.at)}  {line.sentence}"))
        out.print()
        text = body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)
        out.print(text, soft_wrap=True, markup=False)


def _body(body: bytes) -> Any:
    try:
        return scrubbed(json.loads(body))
    except ValueError:
        return body.decode(errors="replace")


def _facts(item: Delivery) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("callback", callback_text(item))
    grid.add_row("job", item.job_id or "none: the request was refused")
    grid.add_row("to", scrub(item.url))
    grid.add_row("secret", item.secret_name or "the default one")
    grid.add_row("created", local_time(item.created_at))
    if item.due_at is not None:
        grid.add_row("next attempt", local_time(item.due_at))
    grid.add_row("webhook-id", item.id)
    return grid


def replay(
    webhook_ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="webhook-ids, as printed by `callbacks list`.")
    ] = None,
    job: JobOption = None,
    wanted: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send callbacks again, with the same webhook-id and a new schedule of attempts."""
    _check(wanted)
    if not webhook_ids and job is None and wanted is None:
        stop("Choose the callbacks: their ids, --job JOB or --state exhausted.", code="invalid_field", status=2)
    if webhook_ids and (job is not None or wanted is not None):
        stop("Give either ids, or --job and --state.", code="invalid_field", status=2)
    with opened_ledger(read_settings()) as database:
        if job is not None:
            require_job(database, job)
        ids = list(webhook_ids or delivery_ids(database, state=wanted, job_id=job))
        number = _replayed(database, ids)
    message = f"{count(number, 'callback')} queued for delivery again."
    if as_json:
        print_json({"message": message, "callbacks_replayed": number})
    else:
        say(message)
    if webhook_ids and number < len(set(webhook_ids)):
        stop(
            "Some of these ids are unknown; `telecine callbacks list` prints the existing ones.",
            code="callback_not_found",
        )


def _replayed(database: Database, ids: Sequence[str]) -> int:
    return sum(
        make_due(database, ids[start : start + _BATCH], by=operator_name()) for start in range(0, len(ids), _BATCH)
    )


def _check(word: str | None) -> None:
    if word is not None and word not in set(DeliveryState):
        stop(
            f"Unknown callback state {word!r}; available: {', '.join(DeliveryState)}.",
            code="invalid_field",
            status=2,
        )


def _show(found: Sequence[Delivery], now: float) -> None:
    """Print two lines per callback on a terminal, because ids and URLs are long; one table row each in a pipe."""
    if out.is_terminal:
        for item in found:
            show(
                Text.assemble(
                    (item.job_id or "(request refused)", "bold"),
                    "  ",
                    callback_text(item),
                    _again(item, now),
                    (f"  {ago(now - item.created_at)}", "dim"),
                )
            )
            show(Text(f"  {item.id}  {scrub(item.url)}", style="dim", overflow="fold"))
        return
    made = table("WEBHOOK-ID", "JOB", "EVENT", "STATE", "TRIES", "ANSWER", "WHEN", "TO")
    for item in found:
        words = (item.id, item.job_id or "-", item.event, item.state.value, str(item.attempts), item.last_answer or "-")
        made.add_row(*(Text(word) for word in (*words, ago(now - item.created_at), scrub(item.url))))
    show(made)


def _again(item: Delivery, now: float) -> str:
    if item.due_at is None or item.due_at <= now:
        return ""
    return f", next attempt in {duration(item.due_at - now)}"
