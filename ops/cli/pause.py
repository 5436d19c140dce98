"""``telecine pause`` and ``telecine resume``: hold back a job type or a provider."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.ledger import pauses
from consumer.ledger.pauses import PauseKind
from ops.cli.console import JsonOption, print_json, say, stop
from ops.cli.opening import opened_ledger, read_settings
from ops.cli.operator import operator_name
from providers.registry import provider_names
from schemas.job_types import JOB_TYPES

TypeOption = Annotated[str | None, typer.Option("--type", metavar="TYPE", help="A job type, such as reel.")]
ProviderOption = Annotated[str | None, typer.Option("--provider", metavar="NAME", help="A provider, such as pika.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("pause")(pause)
    app.command("resume")(resume)


def pause(type_: TypeOption = None, provider: ProviderOption = None, as_json: JsonOption = False) -> None:
    """Hold back a job type or a provider until `telecine resume`.

    Requests are still accepted. No attempt of a job of a paused type begins, and no call is sent to a paused provider;
    running attempts end, and calls that a provider has accepted are finished. Deadlines go on.
    """
    kind, name = _named(type_, provider)
    from consumer.wiring import open_ledger

    database = open_ledger(read_settings())  # makes the ledger if there is none yet
    try:
        new = pauses.pause(database, kind, name, by=operator_name())
    finally:
        database.close()
    _report(kind, name, f"Paused the {_words(kind)} {name}." if new else f"{name} was paused already.", as_json)


def resume(type_: TypeOption = None, provider: ProviderOption = None, as_json: JsonOption = False) -> None:
    """End the pause of a job type or a provider. Jobs and calls that were due meanwhile start at once."""
    kind, name = _named(type_, provider)
    with opened_ledger(read_settings()) as database:
        ended = pauses.resume(database, kind, name)
    _report(kind, name, f"Resumed the {_words(kind)} {name}." if ended else f"{name} was not paused.", as_json)


def _named(type_: str | None, provider: str | None) -> tuple[PauseKind, str]:
    if (type_ is None) == (provider is None):
        stop("Give one of --type TYPE and --provider NAME.", code="invalid_field", status=2)
    kind = PauseKind.TYPE if provider is None else PauseKind.PROVIDER
    known = sorted(JOB_TYPES) if provider is None else sorted(provider_names())
    name = type_ if provider is None else provider
    if name not in known:
        stop(f"Unknown {_words(kind)} {name!r}; available: {', '.join(known)}.", code="invalid_field", status=2)
    return kind, str(name)


def _words(kind: PauseKind) -> str:
    return "job type" if kind is PauseKind.TYPE else "provider"


def _report(kind: PauseKind, name: str, message: str, as_json: bool) -> None:
    if as_json:
        print_json({"kind": kind.value, "name": name, "message": message})
    else:
        say(message)
