"""The command ``telecine``."""

from __future__ import annotations

import sys

import typer

from consumer.extensions import load_extensions
from schemas.errors import TelecineError
from schemas.settings import Settings

from ops.cli import submit, up, worker
from ops.cli.console import fail

app = typer.Typer(
    name="telecine",
    help="Telecine: JSON requests in, finished media and signed callbacks out, each exactly once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for module in (up, worker, submit):
    module.register(app)


def main() -> None:
    """The entry point. A named error is one line on stderr and exit status 1; a defect is a traceback."""
    try:
        load_extensions(Settings().extensions)
        app()
    except TelecineError as error:
        fail(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
