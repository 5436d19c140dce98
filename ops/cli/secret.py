"""``telecine secret``: generate a signing secret."""

from __future__ import annotations

import typer

from consumer.callbacks.signing import generate_secret
from ops.cli.console import JsonOption, out, print_json, remark, say

_USE = """Give it to the receiver, and to the workers as
  TELECINE_CALLBACK_SECRETS='{"default": ["whsec_…"]}'
To replace a secret, put the new one before the old one until every receiver has the new one."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("secret")(secret)


def secret(as_json: JsonOption = False) -> None:
    """Print a new secret for signing callbacks. It is not stored."""
    made = generate_secret()
    if as_json:
        print_json({"secret": made})
        return
    say(made)
    if out.is_terminal:
        remark(_USE)
