"""``telecine schema``: the published forms of messages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.cli.console import JsonOption, print_json, say, stop
from ops.contract import schema_names, schema_of, write_schemas


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("schema")(schema)


def schema(
    name: Annotated[
        str | None, typer.Argument(metavar="[TYPE]", help="A job type, callback, manifest or job.cancel.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Print the names only.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write every schema into this folder.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the JSON Schema of a request type, of callbacks or of the manifest."""
    if folder is not None:
        _report([str(path) for path in write_schemas(folder)], as_json)
    elif name is None or list_:
        _report(schema_names(), as_json)
    elif name not in schema_names():
        stop(f"There is no type {name!r}. There is: {', '.join(schema_names())}.", code="unknown_type")
    else:
        print_json(schema_of(name))


def _report(lines: list[str], as_json: bool) -> None:
    if as_json:
        print_json(lines)
        return
    for line in lines:
        say(line)
