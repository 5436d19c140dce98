"""The overview that ``telecine status`` shows without an id."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ops.checks.finding import Finding
from ops.checks.workers import workers
from ops.cli.console import table
from ops.cli.opening import opened_ledger
from ops.cli.watch import Screen
from ops.formatting import count, duration, styled_state
from ops.health_client import HealthAnswer, ask_health, health_address
from ops.overview import Overview, health_record, take_overview
from schemas.settings import Settings

#: Rows of a table, so that everything fits one screen.
_ROWS = 5


def overview_screen(settings: Settings, *, quiet: bool = False) -> Screen:
    """Read the ledger, the health port and the workers. ``quiet``: do not remark that there is no ledger."""
    with opened_ledger(settings, quiet=quiet) as database:
        overview = take_overview(database)
    answer = ask_health(settings)
    try:
        finding = workers(settings)
    except Exception as error:  # the broker's own exceptions; the rest of the overview is shown all the same
        finding = Finding("fail", f"unknown: the broker does not answer ({type(error).__name__})")
    record = overview.as_record() | {"health": health_record(answer), "workers": finding.found}
    still = dataclasses.replace(overview, oldest_open_seconds=0)
    return Screen(
        [
            _headline(overview),
            *_waiting(overview),
            *_ended(overview),
            Text(""),
            _facts(overview, settings, answer, finding),
        ],
        record,
        change=(still, record["health"], finding),
    )


def _headline(overview: Overview) -> Text:
    if not overview.running and not overview.waiting:
        return Text("No job is running or waiting.", style="bold")
    oldest = f", the oldest for {duration(overview.oldest_open_seconds)}"
    return Text.assemble(
        (f"{overview.running} running", "bold cyan" if overview.running else "bold"),
        (f", {overview.waiting} waiting", "bold yellow" if overview.waiting else "bold"),
        oldest,
    )


def _waiting(overview: Overview) -> list[RenderableType]:
    if not overview.waiting_for:
        return []
    made = table("WAITING FOR", "JOBS", right=("JOBS",), whole=("JOBS",))
    for reason, jobs in list(overview.waiting_for.items())[:_ROWS]:
        made.add_row(Text(reason, style="bold red" if "decision" in reason else ""), str(jobs))
    return [Text(""), made]


def _ended(overview: Overview) -> list[RenderableType]:
    made = table("ENDED", "LAST HOUR", "24 HOURS", right=("LAST HOUR", "24 HOURS"), whole=("LAST HOUR", "24 HOURS"))
    made.add_row(styled_state("completed"), *map(str, overview.completed))
    for one in overview.ended[:_ROWS]:
        code = f"  {one.code}" if one.code != one.state else ""
        made.add_row(Text.assemble(styled_state(one.state), code), str(one.last_hour), str(one.last_day))
    if len(overview.ended) > _ROWS:
        rest = overview.ended[_ROWS:]
        hour, day = sum(one.last_hour for one in rest), sum(one.last_day for one in rest)
        made.add_row(Text(count(len(rest), "other code"), style="dim"), str(hour), str(day))
    return [Text(""), made]


def _facts(overview: Overview, settings: Settings, answer: HealthAnswer | None, finding: Finding) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("callbacks", _counts(overview.callbacks, "none waiting"))
    grid.add_row("dead letters", _counts(overview.dead_letters, "none", style="yellow"))
    if overview.unknown_outcomes:
        unknown = f"{count(overview.unknown_outcomes, 'call')} with an unknown outcome; see `telecine resolve --help`"
        grid.add_row("decisions", Text(unknown, style="bold red"))
    if overview.paused:
        words = ", ".join(f"{what} (by {by}; `telecine resume --{what}`)" for what, by in overview.paused.items())
        grid.add_row("paused", Text(words, style="yellow"))
    grid.add_row("health", _health(settings, answer))
    style = {"ok": "", "warn": "yellow", "fail": "bold red"}[finding.verdict]
    grid.add_row("workers", Text(finding.found, style=style))
    return grid


def _counts(numbers: Mapping[str, int], none: str, *, style: str | None = None) -> Text:
    if not numbers:
        return Text(none)
    parts = [Text.assemble(f"{number} ", (word, style or styled_state(word).style)) for word, number in numbers.items()]
    return Text(", ").join(parts)


def _health(settings: Settings, answer: HealthAnswer | None) -> Text:
    if answer is not None and answer.same_ledger:
        style = {"healthy": "green", "degraded": "yellow"}.get(answer.status, "bold red")
        faults = f" ({answer.faults})" if answer.faults else ""
        return Text.assemble((answer.status, style), f" at {answer.address}{faults}")
    if answer is not None:
        return Text(f"unknown: a Telecine with another ledger answers at {answer.address}", style="yellow")
    address = health_address(settings)
    return Text("unknown: TELECINE_HEALTH_PORT is 0" if address is None else f"no Telecine answers at {address}")
