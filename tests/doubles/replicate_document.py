"""Holds answers of the Replicate double against what the vendor publishes.

The vendor's OpenAPI document is not ours to copy: it is read where it lies beside the repository,
``../shared/specs/replicate.openapi.json``. CI always has it there and fails without it; elsewhere the outline below,
written by hand, is checked alone and ``explain`` says so.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from tests.doubles.server import Reply, Seen

DOCUMENT = Path(__file__).resolve().parents[3] / "shared" / "specs" / "replicate.openapi.json"
_REQUIRED = ("id", "model", "version", "input", "output", "data_removed", "error", "status", "created_at", "urls")
_STATUSES = ("starting", "processing", "succeeded", "failed", "canceled", "aborted")
_OUTLINE: dict[str, Any] = {
    "type": "object",
    "required": list(_REQUIRED),
    "properties": {
        "status": {"enum": list(_STATUSES)},
        "urls": {"type": "object", "required": ["web", "get", "cancel"]},
        "data_removed": {"type": "boolean"},
        "input": {"type": "object"},
    },
}
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["detail", "status"],
    "properties": {"detail": {"type": "string"}, "status": {"type": "integer"}, "title": {"type": "string"}},
}


def document() -> dict[str, Any] | None:
    """The vendor's document, put right: its ``nullable`` is a word of an older version of the language.

    Raises:
        FileNotFoundError: it is not there, in CI.
    """
    if not DOCUMENT.exists() and os.environ.get("CI", "").lower() not in ("1", "true"):
        return None
    whole: dict[str, Any] = _translated(json.loads(DOCUMENT.read_text()))
    return whole


def explain() -> str:
    """What the answers are held against."""
    if DOCUMENT.exists():
        return f"checked against {DOCUMENT}"
    return f"checked against an outline of our own only: the vendor's document does not lie at {DOCUMENT}"


def faults_of(answers: Iterable[tuple[str, Seen, Reply]]) -> list[str]:
    """What is wrong with answers, by the document where there is one and by the outline; empty: nothing."""
    whole = document()
    found = []
    for verb, seen, reply in answers:
        said = json.loads(reply.body)
        schemas = [_outline(verb, reply.status)]
        if whole is not None and reply.status < 400:
            schemas.append(_published(whole, seen, reply.status))
        for schema in schemas:
            validator = Draft202012Validator(schema, format_checker=FormatChecker())
            found += [
                f"{seen.method} {seen.path} {reply.status}: {error.message}" for error in validator.iter_errors(said)
            ]
    return found


def _outline(verb: str, status: int) -> dict[str, Any]:
    if status >= 400:
        return _PROBLEM
    listed = {"type": "object", "properties": {"results": {"type": "array", "items": _OUTLINE}}}
    return listed | {"required": ["results"]} if verb == "find" else _OUTLINE


def _published(whole: dict[str, Any], seen: Seen, status: int) -> dict[str, Any]:
    path = seen.path.removeprefix("/v1")
    for template, verbs in whole["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and seen.method.lower() in verbs:
            schema = verbs[seen.method.lower()]["responses"][str(status)]["content"]["application/json"]["schema"]
            return {**schema, "components": whole["components"]}
    raise AssertionError(f"{seen.method} {seen.path} is not in the vendor's document")


def _translated(value: Any) -> Any:
    if isinstance(value, list):
        return [_translated(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {name: _translated(each) for name, each in value.items()}
    if "oneOf" in found:
        # A version is "a text" or "hidden", of which the second is both: taken strictly, no official model has one.
        found["anyOf"] = found.pop("oneOf")
    if found.pop("nullable", False) is True and "type" in found:
        kinds = found["type"] if isinstance(found["type"], list) else [found["type"]]
        found["type"] = [*kinds, "null"]
    return found
