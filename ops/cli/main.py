"""The ``telecine`` command."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from ops.cli import (
    callbacks,
    cancel,
    convert,
    dead_letters,
    delete,
    doctor,
    explain,
    listing,
    models,
    plan,
    providers,
    resolve,
    schema,
    secret,
    status,
    submit,
    system,
    up,
    worker,
)
from ops.cli.console import out
from ops.cli.group import Commands

app = typer.Typer(
    name="telecine",
    cls=Commands,
    help="Telecine: JSON requests in, finished media and signed callbacks out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
# In the order of ``telecine --help``.
for module in (
    up,
    worker,
    submit,
    plan,
    status,
    listing,
    models,
    explain,
    cancel,
    delete,
    resolve,
    dead_letters,
    callbacks,
    providers,
    system,
    convert,
    doctor,
    schema,
    secret,
):
    module.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(f"telecine {installed_version('telecine')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Telecine: JSON requests in, finished media and signed callbacks out."""


def main() -> None:
    """Run the command line. A named error is one line on stderr and exit status 1; a bug is a traceback."""
    app()


if __name__ == "__main__":
    main()
