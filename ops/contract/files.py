"""The files of the published contract: written to a folder, or compared with it."""

from __future__ import annotations

import json
from pathlib import Path

from ops.contract.asyncapi import document
from ops.contract.json_schemas import schema_names, schema_of
from ops.contract.yaml import as_yaml

ASYNCAPI = "asyncapi.yaml"
_ENDINGS = (".schema.json", ".yaml")


def published() -> dict[str, str]:
    """Return the text of every file by name. The same models always give the same bytes."""
    schemas = {
        f"{name}.schema.json": json.dumps(schema_of(name), indent=2, ensure_ascii=False) + "\n"
        for name in schema_names()
    }
    return schemas | {ASYNCAPI: asyncapi_text()}


def asyncapi_text() -> str:
    """Return the AsyncAPI document as YAML."""
    return "# Generated from the models by `telecine schema --write FOLDER`.\n" + as_yaml(document())


def write(folder: Path) -> list[Path]:
    """Write every file into the folder and return the paths. Other files stay as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in published().items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def stale(folder: Path) -> list[str]:
    """Return the names of files that differ from what ``write`` would write, are missing or should not exist."""
    wanted = published()
    there = {
        path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*")) if path.name.endswith(_ENDINGS)
    }
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
