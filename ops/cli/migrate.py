"""``telecine migrate``: bring the ledger's tables up to date."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.ledger import schema
from consumer.ledger.database import Database, connect_ledger
from ops.checks.paths import missing_ledger
from ops.cli.console import JsonOption, print_json, say
from ops.cli.opening import read_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate")(migrate)


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit with status 1 if migrations are missing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring the ledger's tables up to date. Back the ledger up first; processes may run meanwhile."""
    settings = read_settings()
    version, missing = None, schema.missing_migrations(None)
    if not check or missing_ledger(settings) is None:
        database = connect_ledger(settings)
        try:
            version, missing = _looked_at(database) if check else _migrated(database)
        finally:
            database.close()
    if as_json:
        steps = [{"version": step.version, "title": step.title, "additive": step.additive} for step in missing]
        print_json({"version": version, "needed": schema.HEAD, "migrations": steps, "applied": not check})
    else:
        for step in missing:
            stop_first = "" if step.additive or version is None else "  (processes of older versions must be stopped)"
            say(f"{'missing' if check else 'applied'}  {step.version}  {step.title}{stop_first}")
        say(f"The ledger is at schema version {version}." if version else "The ledger has no tables yet.")
    if check and missing:
        raise typer.Exit(1)


def _looked_at(database: Database) -> tuple[str | None, list[schema.Migration]]:
    version = schema.ledger_version(database)
    schema.check_not_too_new(database, version)
    return version, schema.missing_migrations(version)


def _migrated(database: Database) -> tuple[str | None, list[schema.Migration]]:
    _, applied = _looked_at(database)
    schema.migrate(database)
    return schema.ledger_version(database), applied
