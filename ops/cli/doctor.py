"""``telecine doctor``: check the installation and advise what to do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ops.checks.finding import Check, Finding
from ops.cli.console import JsonOption, err, out, print_json, remark, show, table
from ops.cli.opening import read_settings
from ops.formatting import count, styled_state
from ops.settings_view import settings_view
from schemas.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    settings_only: Annotated[
        bool, typer.Option("--settings", help="Print every setting, with secrets masked, and skip the checks.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check libraries, fonts, broker, storage, ledger and keys, and advise what to do."""
    settings = read_settings()
    if settings_only:
        _print_settings(settings, as_json)
        return
    found = _run_checks(settings, show_progress=err.is_terminal and not as_json)
    failures = sum(finding.verdict == "fail" for _, finding in found)
    if as_json:
        lines = [{"check": c.name, "verdict": f.verdict, "found": f.found, "advice": f.advice} for c, f in found]
        print_json({"verdict": "fail" if failures else "ok", "checks": lines})
    else:
        show(_table(found))
        out.print()
        remark(_summary(failures, sum(finding.verdict == "warn" for _, finding in found)))
    if failures:
        raise typer.Exit(1)


def _summary(failures: int, warnings: int) -> str:
    if failures:
        return f"{count(failures, 'check')} failed, {count(warnings, 'warning')}."
    return f"No check failed; {count(warnings, 'warning')}." if warnings else "All is well."


def _run_checks(settings: Settings, *, show_progress: bool) -> list[tuple[Check, Finding]]:
    from ops.checks.all import all_checks, run_checks

    if not show_progress:
        return list(run_checks(all_checks(settings)))
    with err.status("checking"):
        return list(run_checks(all_checks(settings)))


def _table(found: Sequence[tuple[Check, Finding]]) -> Table:
    made = table("CHECK", "", "FOUND", whole=("CHECK", ""))
    for check, finding in found:
        text = Text(finding.found)
        if finding.advice:
            text.append(f"\n→ {finding.advice}" if out.is_terminal else f"  → {finding.advice}", style="bold")
        made.add_row(check.name, styled_state(finding.verdict), text)
    return made


def _print_settings(settings: Settings, as_json: bool) -> None:
    views = settings_view(settings)
    if as_json:
        print_json({view.variable: {"value": view.value, "from": view.origin} for view in views})
        return
    made = table("SETTING", "VALUE", "FROM", whole=("SETTING", "FROM"))
    for view in views:
        value = view.value if isinstance(view.value, str) else json.dumps(view.value, ensure_ascii=False)
        made.add_row(view.variable, Text(value, style="" if view.origin != "default" else "dim"), view.origin)
    show(made)
