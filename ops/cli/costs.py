"""``telecine costs``: what providers were paid for, by tenant, model and day."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from consumer.ledger.costs import list_costs
from ops.cli.arguments import parse_names, parse_since
from ops.cli.console import JsonOption, print_json, remark, show, table
from ops.cli.opening import opened_ledger, read_settings
from ops.cost_report import KEYS, CostLine, add_up_costs, total
from ops.formatting import count
from providers.registry import catalogue_of
from schemas.accounts import Budget
from schemas.errors import InvalidField


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("costs")(costs)


def costs(
    by: Annotated[str, typer.Option(help=f"Add up by these, comma-separated: {', '.join(KEYS)}.")] = ",".join(KEYS),
    since: Annotated[
        str | None, typer.Option(help="Only calls since then: 7d, or a time, 2026-11-01. Default: this month (UTC).")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only calls before then, in the same form. Default: now.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's calls.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what calls to providers have cost. A price that is not set is `unknown`, never 0.00."""
    if as_csv and as_json:
        raise InvalidField("--csv: leave out --csv or --json")
    keys = parse_names(by, KEYS, "column")
    settings = read_settings()
    with opened_ledger(settings) as database:
        now = database.now()
        start = Budget(usd=0, period="month").period_start(now) if since is None else parse_since(since, now)
        end = now + 1.0 if until is None else parse_since(until, now, option="--until")
        rows = list_costs(database, since=start, until=end, tenant=tenant)
    lines = add_up_costs(rows, keys, catalogue_of(settings).free_models)
    if as_json:
        print_json({"costs": [line.as_record(keys) for line in lines], "total": total(lines).as_record(())})
    elif as_csv:
        _write_csv(lines, keys)
    elif lines:
        show(_table(lines, keys))
        remark(_total_text(total(lines)))
    else:
        remark("No calls to providers in this time.")


def _write_csv(lines: Sequence[CostLine], keys: Sequence[str]) -> None:
    names = list(CostLine().as_record(keys))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for line in lines:
        record = line.as_record(keys)
        writer.writerow(["unknown" if record[name] is None else _cell(record[name]) for name in names])


def _cell(value: object) -> object:
    """Return the value so that a spreadsheet does not read it as a formula: tenants may be text from producers."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _table(lines: Sequence[CostLine], keys: Sequence[str]) -> Table:
    names = [key.upper() for key in ("day", "tenant", "model") if key in keys]
    numbers = ("CALLS", "UNKNOWN", "RESERVED", "USD")
    made = table(*names, *numbers, right=numbers, whole=("DAY", *numbers), drop=("RESERVED",))
    for line in lines:
        record = line.as_record(keys)
        cells = [line.model if name == "MODEL" else record[name.lower()] for name in names]
        made.add_row(
            *(cell or "–" for cell in cells),
            str(line.calls),
            str(line.unknown_calls or ""),
            str(record["reserved_usd"]) if line.reserved_micros else "",
            line.usd or "unknown",
        )
    return made


def _total_text(line: CostLine) -> str:
    parts = [f"{line.usd} USD" if line.usd else "unknown", count(line.calls, "call")]
    if line.unknown_calls:
        parts.append(f"{line.unknown_calls} at an unknown price: set `price` in [[models]]")
    return "Total: " + ", ".join(parts) + "."
