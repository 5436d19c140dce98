"""The files of ops/deploy as data."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
import yaml

from consumer.wakeups.queues import ROLES
from ops.cli.arguments import parse_names
from ops.cli.commands import load
from ops.cli.up import MORE_PARTS, PARTS
from schemas.settings import Settings
from schemas.settings.sources import unknown_variables

DEPLOY = Path(__file__).parents[2] / "ops" / "deploy"
KUBERNETES = DEPLOY / "kubernetes"

Document = dict[str, Any]


def kubernetes(folder: str = "") -> list[Document]:
    """Return every object of the manifests, or of one folder, as it is written, without what kustomize adds."""
    files = [path for path in sorted((KUBERNETES / folder).rglob("*.yaml")) if path.name != "kustomization.yaml"]
    return [document for path in files for document in yaml.safe_load_all(path.read_text()) if document]


def parts(documents: Sequence[Document]) -> Iterator[tuple[str, Document, Document]]:
    """Yield name, pod and container of every Deployment and Job that runs Telecine."""
    for document in documents:
        if document["kind"] in ("Deployment", "Job") and document["metadata"]["name"] != "any":
            pod = document["spec"]["template"]["spec"]
            yield document["metadata"]["name"], pod, pod["containers"][0]


def settings_file(path: Path) -> dict[str, str]:
    """Return the variables of a file with one assignment in each line."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def variables(container: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables that a container has of its own."""
    return {item["name"]: str(item["value"]) for item in container.get("env", [])}


def check_settings(environment: Mapping[str, str]) -> None:
    """Check that every ``TELECINE_…`` variable is a setting."""
    assert unknown_variables(Settings, environment) == []


def check_command(arguments: Sequence[str] | str) -> None:
    """Check that ``telecine`` has the command and its options, without running it."""
    name, *rest = shlex.split(arguments) if isinstance(arguments, str) else arguments
    command = load(name)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    given = command.make_context(name, list(rest), parent=typer.Context(command)).params
    for option, known in (("only", PARTS + MORE_PARTS), ("roles", ROLES), ("role", ROLES)):
        if option in given:
            parse_names(given[option], known, option)
