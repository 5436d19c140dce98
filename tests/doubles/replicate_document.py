"""Validation of the Replicate double's responses against the OpenAPI document that Replicate publishes.

Replicate's document may not be copied into this repository: it is read from
``../shared/specs/replicate.openapi.json``. CI always has it and fails without it. Where it is missing, responses are
validated only against the outline below, which is written by hand, and ``explain`` reports that.
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
    """Return Replicate's document, with OpenAPI 3.0's ``nullable`` translated to JSON Schema; ``None`` if missing.

    Raises:
        FileNotFoundError: the document is missing in CI.
    """
    if not DOCUMENT.exists() and os.environ.get("CI", "").lower() not in ("1", "true"):
        return None
    whole: dict[str, Any] = _translated(json.loads(DOCUMENT.read_text()))
    return whole


def explain() -> str:
    """Return a line that names what the responses are validated against."""
    if DOCUMENT.exists():
        return f"checked against {DOCUMENT}"
    return f"checked against the outline only: {DOCUMENT} does not exist"


def schema_errors(answers: Iterable[tuple[str, Seen, Reply]]) -> list[str]:
    """Return the schema errors of responses, by the outline and, if there is one, the document."""
    whole = document()
    found = []
    for verb, seen, reply in answers:
        body = json.loads(reply.body)
        schemas = [_outline(verb, reply.status)]
        if whole is not None and reply.status < 400:
            schemas.append(_published(whole, seen, reply.status))
        for schema in schemas:
            validator = Draft202012Validator(schema, format_checker=FormatChecker())
            found += [
                f"{seen.method} {seen.path} {reply.status}: {error.message}" for error in validator.iter_errors(body)
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
    raise AssertionError(f"{seen.method} {seen.path} is not in Replicate's document")


def _translated(value: Any) -> Any:
    if isinstance(value, list):
        return [_translated(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {name: _translated(each) for name, each in value.items()}
    if "oneOf" in found:
        # A version is a string or the constant "hidden". "hidden" matches both, so that oneOf would reject it.
        found["anyOf"] = found.pop("oneOf")
    if found.pop("nullable", False) is True and "type" in found:
        kinds = found["type"] if isinstance(found["type"], list) else [found["type"]]
        found["type"] = [*kinds, "null"]
    return found
