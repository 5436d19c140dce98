"""The group of all commands. A command's module is imported when it is used, so that ``telecine --help`` is quick."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

HELP_OPTIONS = ["-h", "--help"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A command in ``telecine --help``."""

    name: str
    #: The module in ``ops.cli`` whose ``register`` adds it.
    module: str
    summary: str


#: In the order of ``telecine --help``, by panel.
PANELS: dict[str, tuple[Entry, ...]] = {
    "Run": (
        Entry("up", "up", "Run everything on this machine until Ctrl-C."),
        Entry("worker", "worker", "Run a worker for selected roles; needs a broker."),
        Entry("edge", "edge", "Serve the HTTP calls of the source systems."),
        Entry("dashboard", "dashboard", "Serve the dashboard: jobs, results and callbacks in a browser."),
        Entry("health", "health", "Ask whether the Telecine on this machine is healthy."),
        Entry("doctor", "doctor", "Check this installation and advise what to do."),
        Entry("migrate", "migrate", "Bring the ledger's tables up to date."),
    ),
    "Jobs": (
        Entry("submit", "submit", "Validate requests and send them."),
        Entry("plan", "plan", "Estimate a request without running it."),
        Entry("preview", "preview", "Draw the captions of a reel as one picture."),
        Entry("status", "status", "Show an overview, or one job."),
        Entry("list", "listing", "List jobs, newest first."),
        Entry("show", "request", "Show a job and its request."),
        Entry("explain", "explain", "Show the timeline of a job."),
        Entry("cancel", "cancel", "Cancel a job."),
        Entry("retry", "retry", "Run jobs again that did not complete."),
        Entry("pause", "pause", "Hold back a job type or a provider."),
        Entry("resume", "pause", "End such a pause."),
        Entry("delete", "delete", "Delete a job that has ended, and its results."),
        Entry("cleanup", "delete", "Delete old jobs with their results."),
    ),
    "Callbacks and dead letters": (
        Entry("callbacks", "callbacks", "List, show, test and replay callbacks."),
        Entry("receive", "receive", "Receive callbacks on this machine and print them."),
        Entry("secret", "secret", "Generate a signing secret."),
        Entry("dead-letters", "dead_letters", "List, show, replay and dismiss dead letters."),
    ),
    "Models and providers": (
        Entry("models", "models", "List the models, or download the weights of one."),
        Entry("providers", "providers", "Show keys, breakers, calls and spend."),
        Entry("costs", "costs", "Show what calls to providers have cost."),
        Entry("resolve", "resolve", "Settle a paid call whose outcome is unknown."),
        Entry("system", "system", "Show this machine's device and local models."),
        Entry("convert", "convert", "Convert a local model's weights to safetensors."),
    ),
    "For programs": (
        Entry("schema", "schema", "Print a JSON Schema or the AsyncAPI document."),
        Entry("completion", "completion", "Print the completion script of a shell."),
    ),
}


class LazyCommands(TyperGroup):
    """A group whose commands are imported when they are used. Until then it knows their names and summaries."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for panel, group in PANELS.items():
            for entry in group:
                self.add_command(TyperCommand(entry.name, help=entry.summary, rich_help_panel=panel))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Import and return the command that ``args`` name."""
        name, known, rest = super().resolve_command(ctx, args)
        return name, None if known is None else load(known.name or ""), rest

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options. Typer's own ones for completion are not shown: `telecine completion` is."""
        found: list[Any] = [_shown_plainly(parameter) for parameter in super().get_params(ctx)]
        for parameter in found:
            parameter.hidden = parameter.name in ("install_completion", "show_completion")
        return found


def load(name: str) -> Any:
    """Import a command's module and return the command.

    Raises:
        StopIteration: There is no such command.
    """
    module = next(entry.module for entry in entries() if entry.name == name)
    registered = typer.Typer()
    importlib.import_module(f"ops.cli.{module}").register(registered)
    group: Any = get_group(registered)
    return _tidy(group.commands[name])


def entries() -> Iterator[Entry]:
    """Yield every command in the order of ``telecine --help``."""
    for panel in PANELS.values():
        yield from panel


def _tidy(command: Any) -> Any:
    """Show the options of a command and of its subcommands without the types that say nothing."""
    for child in getattr(command, "commands", {}).values():
        _tidy(child)
    context = typer.Context(command, help_option_names=HELP_OPTIONS)
    for parameter in (*command.params, command.get_help_option(context)):
        _shown_plainly(parameter)
    return command


def _shown_plainly(parameter: Any) -> Any:
    if parameter.param_type_name == "argument":
        parameter.display_type_rich = _no_type
    elif parameter.metavar is None:
        words = {bool: "", int: "N", float: "N", str: "TEXT"}
        parameter.metavar = words.get(parameter.type_descriptor.annotation, "TEXT")
    return parameter


def _no_type(ctx: Any) -> None:
    """Return no type: the name and help of an argument say enough."""
