"""``telecine providers``: provider accounts, circuit breakers, calls in flight and spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.table import Table
from rich.text import Text

from ops.cli.console import JsonOption, out, print_json, show, table
from ops.cli.opening import opened_ledger, read_settings
from ops.formatting import dollars, duration
from ops.provider_accounts import ProviderStatus, provider_statuses


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("providers")(providers)


def providers(as_json: JsonOption = False) -> None:
    """Show the providers: keys, circuit breakers, calls in flight and spend."""
    settings = read_settings()
    with opened_ledger(settings) as database:
        views = provider_statuses(settings, database)
    if as_json:
        print_json([asdict(view) for view in views])
        return
    show(_table(views))
    reasons = [(view.provider, view.missing or view.last_error) for view in views if view.missing or view.last_error]
    if out.is_terminal and reasons:
        # In a pipe the reason is the last column.
        made = table("PROVIDER", "WHAT IS MISSING, OR THE LAST ERROR", whole=("PROVIDER",))
        for name, reason in reasons:
            made.add_row(name, Text(reason or ""))
        out.print()
        show(made)


def _table(views: Sequence[ProviderStatus]) -> Table:
    numbers = ("QUEUED", "OUT", "UNKNOWN", "RATE", "TODAY", "THIS MONTH")
    names = ("PROVIDER", "READY", "BREAKER", *numbers, *(() if out.is_terminal else ("REASON",)))
    made = table(*names, right=numbers, whole=names[:-1], drop=("RATE", "TODAY", "QUEUED", "UNKNOWN", "OUT"))
    for view in views:
        made.add_row(
            view.provider,
            Text("yes", style="green") if view.missing is None else Text("no", style="yellow"),
            _breaker(view),
            str(view.queued),
            f"{view.out}/{view.concurrency}",
            Text(str(view.unknown), style="bold red" if view.unknown else ""),
            f"{view.rate_per_minute:g}/min",
            dollars(view.today),
            dollars(view.this_month),
            *(() if out.is_terminal else (view.missing or view.last_error or "",)),
        )
    return made


def _breaker(view: ProviderStatus) -> Text:
    if view.paused_by is not None:
        return Text(f"paused by {view.paused_by}", style="yellow")
    wait = f", {duration(view.again_in_seconds)}" if view.again_in_seconds > 0 and view.breaker != "closed" else ""
    style = {"closed": "green", "open": "bold red"}.get(view.breaker, "yellow")
    return Text(view.breaker + wait, style=style)
