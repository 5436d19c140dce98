"""``telecine completion``: the completion script of a shell."""

from __future__ import annotations

import enum
from typing import Annotated

import typer
from typer.completion import shell_complete

_VARIABLE = "_TELECINE_COMPLETE"


class Shell(enum.StrEnum):
    """A shell that can complete Telecine's commands."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("completion")(completion)


def completion(
    context: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="The shell.")],
) -> None:
    """Print the script with which a shell completes commands and options.

    bash: eval "$(telecine completion bash)" in ~/.bashrc.

    zsh: eval "$(telecine completion zsh)" in ~/.zshrc, after compinit.

    fish: telecine completion fish > ~/.config/fish/completions/telecine.fish

    `telecine --install-completion` does the same for the shell that it runs in.
    """
    shell_complete(context.find_root().command, {}, "telecine", _VARIABLE, f"source_{shell}")
