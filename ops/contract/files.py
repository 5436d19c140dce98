"""The published forms as files of one folder: written, and compared with what they should be."""

from __future__ import annotations

import json
from pathlib import Path

from ops.contract.asyncapi import document
from ops.contract.forms import schema_names, schema_of
from ops.contract.yaml import as_yaml

ASYNCAPI = "asyncapi.yaml"
_ENDINGS = (".schema.json", ".yaml")


def published() -> dict[str, str]:
    """Every file's name and text. The same models give the same bytes."""
    schemas = {
        f"{name}.schema.json": json.dumps(schema_of(name), indent=2, ensure_ascii=False) + "\n"
        for name in schema_names()
    }
    return schemas | {ASYNCAPI: asyncapi_text()}


def asyncapi_text() -> str:
    """The AsyncAPI document as YAML."""
    return "# Written by `telecine schema --write FOLDER` from the models.\n" + as_yaml(document())


def write(folder: Path) -> list[Path]:
    """Writes every file into the folder. Answers the paths; other files are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in published().items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def stale(folder: Path) -> list[str]:
    """The names of files in the folder that are not what ``write`` would write, missing and left over ones included."""
    wanted = published()
    there = {
        path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*")) if path.name.endswith(_ENDINGS)
    }
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
