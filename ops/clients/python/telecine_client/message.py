"""Requests as the bytes of a message, checked against the published schemas."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from telecine_client.errors import RequestError

#: What every door accepts; SQS allows no more either.
MAX_BYTES = 256 * 1024
#: What a pattern demands, by its beginning.
_FORMS = (("^(s3://", "s3://bucket/key, https://… or file:///…"), ("^s3://", "s3://bucket/prefix/"))
_CODES = {"additionalProperties": "unknown_field", "required": "missing_field"}


def message_of(message: Mapping[str, object], *, checked: bool = True) -> bytes:
    """Return the message as UTF-8, after a check against the schema of its type unless ``checked`` is false.

    Raises:
        RequestError: It is not a JSON object, is too large, or is invalid and was checked.
    """
    try:
        body = json.dumps(dict(message), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise RequestError("invalid_json", f"the request is not JSON: {error}") from None
    if len(body) > MAX_BYTES:
        raise RequestError(
            "message_too_large", f"the request has {len(body):,} bytes; at most {MAX_BYTES:,}. Name media by URI"
        )
    if checked:
        _check(message)
    return body


def _check(message: Mapping[str, object]) -> None:
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in _schemas():
        raise RequestError(
            "unknown_type",
            f"type: {kind!r} is none of {', '.join(_schemas())}; submit_unchecked() sends job types of an extension",
            "type",
        )
    found = best_match(_validator(kind).iter_errors(message))
    if found is not None:
        raise _refusal(found)


def _refusal(error: ValidationError) -> RequestError:
    while error.context:  # of several forms none fits: name what the first one lacks
        error = error.context[0]
    path = ".".join(str(part) for part in error.absolute_path)
    text = _text(error)
    code = _CODES.get(str(error.validator), "invalid_field")
    return RequestError(code, f"{path}: {text}" if path else text, path or None)


def _text(error: ValidationError) -> str:
    if error.validator == "pattern":
        pattern, value = str(error.validator_value), f"{error.instance!r:.200}"
        form = next((form for start, form in _FORMS if pattern.startswith(start)), f"text that matches {pattern}")
        return f"{value} is not {form}"
    return error.message if len(error.message) < 500 else f"{error.message[:500]} …"


@functools.cache
def _schemas() -> dict[str, Any]:
    text = files("telecine_client").joinpath("schemas.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


@functools.cache
def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(_schemas()[kind])
