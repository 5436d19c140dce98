"""``telecine secret``: generate a signing secret."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from consumer.callbacks.signing import generate_secret
from ops.cli.console import JsonOption, out, print_json, remark, say, stop

_VARIABLE = "TELECINE_CALLBACK_SECRETS"
_USE = """Give it to the receivers, and set it on every machine of Telecine, the same everywhere:
  TELECINE_CALLBACK_SECRETS='{"default": ["whsec_…"]}'
--env-file FILE writes this line. To replace a secret, put the new one first until every receiver has it."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("secret")(secret)


def secret(
    env_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also add TELECINE_CALLBACK_SECRETS to this file, which only its owner can read."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print a new secret for signing callbacks, and on request store it in an environment file.

    Generate it once: the receivers need it, and every machine the same one.
    """
    made = generate_secret()
    if env_file is not None:
        _add_to(env_file, made)
    if as_json:
        print_json({"secret": made} | ({} if env_file is None else {"env_file": str(env_file)}))
        return
    say(made)
    if env_file is not None:
        load = f"set -a; . {shlex.quote(str(env_file.resolve()))}; set +a"
        remark(f"{env_file} has it too: run `{load}` before Telecine. Receivers need it as well.")
    elif out.is_terminal:
        remark(_USE)


def _add_to(path: Path, made: str) -> None:
    """Append the variable; a file that has it already is not changed, because receivers use the old secret."""
    with os.fdopen(os.open(path, os.O_CREAT | os.O_RDWR, 0o600), "r+") as file:
        lines = file.read()
        if any(line.split("=")[0].split()[-1:] == [_VARIABLE] for line in lines.splitlines()):
            stop(
                f"{path} has {_VARIABLE} already. To replace the secret, put a new one before the old one by hand.",
                code="secret_exists",
            )
        newline = "" if not lines or lines.endswith("\n") else "\n"
        file.write(f"""{newline}{_VARIABLE}='{{"default": ["{made}"]}}'\n""")
