"""The files of the published contract: written to a folder, or compared with it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from ops.contract.asyncapi import document
from ops.contract.json_schemas import schema_names, schema_of

ASYNCAPI = "asyncapi.yaml"
_ENDINGS = (".schema.json", ".yaml")


class _Dumper(yaml.SafeDumper):
    """Writes no aliases, multi-line text as blocks, and text so that YAML 1.1 and 1.2 parsers read the same."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


#: Text that YAML 1.1 and 1.2 parsers read differently unless it is in double quotes: ``1e3``, which only 1.2 reads as a
#: number, the line breaks that only 1.1 knows, and empty lines at the end.
_DOUBLE_QUOTED = re.compile(r"^[0-9]|[\x85\u2028\u2029]|\n\n\Z")


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = '"' if _DOUBLE_QUOTED.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent_text)


def as_yaml(value: Any) -> str:
    """Return the data as one YAML document, with keys in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


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
