"""The published forms: JSON Schema of every request type, of control messages, callbacks and manifests."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, create_model

from schemas.callback import Callback
from schemas.envelope import Cancel, Request
from schemas.job_types import JOB_TYPES
from schemas.manifest import Manifest
from schemas.parse import CANCEL

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_names() -> list[str]:
    """Every name that ``schema_of`` knows: the job types first."""
    return [*sorted(JOB_TYPES), *_OTHERS]


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a whole message, or of the manifest.

    Raises:
        KeyError: there is no such name.
    """
    if name in JOB_TYPES:
        return _schema(f"request:{name}", f"Telecine request: {name}", _request(name))
    return _OTHERS[name]()


def write_schemas(folder: Path) -> list[Path]:
    """Writes every schema into the folder as ``<name>.schema.json``; the same again changes no byte."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in schema_names():
        path = folder / f"{name}.schema.json"
        path.write_text(_text(name), encoding="utf-8")
        written.append(path)
    return written


def _text(name: str) -> str:
    return json.dumps(schema_of(name), indent=2, ensure_ascii=False) + "\n"


def _request(name: str) -> type[BaseModel]:
    """The envelope with ``type`` and ``data`` bound to one job type."""
    fields: dict[str, Any] = {"type": (Literal[name], ...), "data": (JOB_TYPES[name], ...)}
    return create_model(
        "Request", __base__=Request, __doc__=f"One request of type {name}, as it is put on the queue.", **fields
    )


def _cancel() -> type[BaseModel]:
    fields: dict[str, Any] = {"type": (Literal[CANCEL], ...), "data": (Cancel, ...)}
    return create_model("Control", __doc__="A control message: cancels the job with this id.", **fields)


def _schema(identity: str, title: str, model: type[BaseModel]) -> dict[str, Any]:
    made = model.model_json_schema()
    return {"$schema": _DIALECT, "$id": f"urn:telecine:contract:{identity}", **made, "title": title}


_OTHERS: dict[str, Callable[[], dict[str, Any]]] = {
    CANCEL: lambda: _schema(CANCEL, "Telecine control message: job.cancel", _cancel()),
    "callback": lambda: _schema("callback", "Telecine callback, format standard", Callback),
    "manifest": lambda: _schema("manifest", "Telecine manifest.json", Manifest),
}


def stale(folder: Path) -> list[str]:
    """The names of files in the folder that are not what ``write_schemas`` would write, missing ones included."""
    wanted = {f"{name}.schema.json": _text(name) for name in schema_names()}
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.schema.json")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main(arguments: list[str]) -> int:
    """``python -m ops.contract [--check] FOLDER``: writes the published forms, or checks that they are current."""
    folder = Path(arguments[-1])
    if "--check" not in arguments:
        write_schemas(folder)
        return 0
    if old := stale(folder):
        print(f"{folder}: not current: {', '.join(old)}; run `python -m ops.contract {folder}`", file=sys.stderr)
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
