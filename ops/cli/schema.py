"""``telecine schema``: the published schemas of messages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.cli.console import JsonOption, print_json, say, stop
from ops.contract.asyncapi import document
from ops.contract.files import asyncapi_text, write
from ops.contract.json_schemas import schema_names, schema_of

_ASYNCAPI = "asyncapi"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("schema")(schema)


def schema(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="A job type, job.cancel, callback, one of its events, manifest or asyncapi."
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Print only the names.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--write", "--out", metavar="FOLDER", help="Write every schema and asyncapi.yaml into this folder."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the JSON Schema of a message or of the manifest, or the AsyncAPI document."""
    if folder is not None:
        _report([str(path) for path in write(folder)], as_json)
    elif name is None or list_:
        _report([*schema_names(), _ASYNCAPI], as_json)
    elif name == _ASYNCAPI:
        _print_asyncapi(as_json)
    elif name not in schema_names():
        stop(f"Unknown schema {name!r}; available: {', '.join([*schema_names(), _ASYNCAPI])}.", code="unknown_type")
    else:
        print_json(schema_of(name))


def _print_asyncapi(as_json: bool) -> None:
    if as_json:
        print_json(document())
        return
    typer.echo(asyncapi_text(), nl=False)  # not through rich, which would wrap lines


def _report(lines: list[str], as_json: bool) -> None:
    if as_json:
        print_json(lines)
        return
    for line in lines:
        say(line)
