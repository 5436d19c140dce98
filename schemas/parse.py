"""Parse the bytes of a message into a request, or raise an error that names the invalid field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from schemas.cloud_events import as_request, binary_attributes, check_content, declares_structured_mode
from schemas.content_encoding import decoded
from schemas.envelope import CallbackSpec, Cancel, Cancellation, Request, is_traceparent
from schemas.errors import (
    InvalidEnvelope,
    InvalidField,
    InvalidJson,
    MissingField,
    RequestError,
    UnknownField,
    UnknownType,
)
from schemas.job_types import JOB_TYPES
from schemas.strict_json import MAX_MESSAGE_BYTES, parse_object

CANCEL = "job.cancel"
#: Header that replaces the headers of a message whose AMQP properties cannot be decoded; its value names the fault.
UNREADABLE = "telecine-unreadable-properties"
#: The body that the SQS Extended Client Library sends: in Java since version 1 or 2, in Python and in Go.
_S3_POINTER = re.compile(
    rb'\s*\[\s*"(software\.amazon\.payloadoffloading\.PayloadS3Pointer|com\.amazon\.sqs\.javamessaging\.MessageS3Pointer)"'
)
ModelT = TypeVar("ModelT", bound=BaseModel)
#: Names that pydantic gives to the members of a union of plain values.
_MEMBERS = frozenset(
    ("str", "int", "float", "bool", "datetime", "constrained-str", "constrained-int", "constrained-float")
)


def parse_request(
    body: bytes, headers: Mapping[str, Any] | None = None, *, limit_bytes: int = MAX_MESSAGE_BYTES
) -> Request | Cancellation:
    """Parse a message: a plain request, or a CloudEvent in structured or binary mode.

    Raises:
        RequestError: a subclass that says what is wrong; its ``field`` names the invalid field, if there is one.
    """
    return parse_mapping(read_mapping(body, headers, limit_bytes=limit_bytes))


def read_mapping(
    body: bytes, headers: Mapping[str, Any] | None = None, *, limit_bytes: int = MAX_MESSAGE_BYTES
) -> dict[str, Any]:
    """Return the message as one mapping; in CloudEvents' binary mode, its headers become fields next to ``data``.

    Raises:
        RequestError: the message is not one strict JSON object, or its headers are invalid.
    """
    headers = headers or {}
    if (fault := headers.get(UNREADABLE)) is not None:
        raise InvalidEnvelope(
            f"the message's AMQP properties cannot be decoded ({str(fault)[:40]!r}): a timestamp after the year 9999, "
            "such as one in milliseconds, or a string that is not UTF-8; correct or remove them and send it again"
        )
    attributes = binary_attributes(headers)
    body = decoded(body, headers, limit_bytes=limit_bytes)
    check_no_s3_pointer(body)
    value = parse_object(body, limit_bytes=limit_bytes)
    if attributes:
        if "specversion" in value:
            raise InvalidEnvelope(
                "both the headers and the body are a CloudEvent; remove the headers, "
                "or set the content type to application/cloudevents+json"
            )
        return {**attributes, "data": value}
    if "specversion" in value:
        return as_request(value)
    if declares_structured_mode(headers):
        raise InvalidEnvelope("the content type declares a CloudEvent, but the body has no specversion")
    return value


def check_no_s3_pointer(body: bytes) -> None:
    """Check that the message is not the pointer that Amazon's SQS Extended Client Library sends for large messages.

    Raises:
        InvalidJson: it is.
    """
    if _S3_POINTER.match(body):
        raise InvalidJson(
            "the message is a pointer of the Amazon SQS Extended Client Library, whose payload is in S3; send the "
            "request itself, or put it into a bucket as a request file (see the upload triggers)"
        )


def parse_mapping(value: Mapping[str, Any]) -> Request | Cancellation:
    """Validate a decoded message and return the request.

    Raises:
        RequestError: a subclass that says what is wrong, as in ``parse_request``.
    """
    kind = value.get("type")
    if kind is None:
        if not {"id", "data"} & set(value):
            raise InvalidEnvelope("the message is a JSON object but not a request: it has no id, type or data")
        raise MissingField("type is missing", field="type")
    if not isinstance(kind, str):
        raise InvalidField("type must be a string", field="type")
    check_content(value)
    data = value.get("data")
    if data is None:
        raise MissingField("data is missing", field="data")
    if not isinstance(data, dict):
        raise InvalidField("data must be an object", field="data")
    if kind == CANCEL:
        named = {"tenant": value["tenant"]} if "tenant" in value else {}
        return _validate(Cancellation, {"id": _validate(Cancel, data, "data.").id, **named}, "")
    model = JOB_TYPES.get(kind)
    if model is None:
        raise UnknownType(f"unknown type {kind[:64]!r}; available: {', '.join(sorted(JOB_TYPES))}", field="type")
    if ("specversion" in value) != ("source" in value):
        raise InvalidEnvelope("a CloudEvent needs both specversion and source; a plain request has neither")
    envelope = {name: item for name, item in value.items() if name != "data"}
    unreadable = not is_traceparent(envelope.get("traceparent"))
    ignored = {"traceparent": envelope.pop("traceparent")} if unreadable else {}
    parsed = _validate(model, data, "data.")
    return _validate(Request, {**envelope, "data": parsed}, "").note_ignored(ignored)


def recover_fields(value: Mapping[str, Any]) -> tuple[str | None, CallbackSpec | None, dict[str, Any] | None]:
    """Return id, callback and metadata of an invalid request, each if valid, so that a failure callback can be sent."""
    job_id = value.get("id")
    try:
        callback = CallbackSpec.model_validate(value.get("callback"))
    except ValidationError:
        callback = None
    metadata = value.get("metadata")
    return (
        job_id if isinstance(job_id, str) and 0 < len(job_id) <= 128 else None,
        callback,
        metadata if isinstance(metadata, dict) else None,
    )


def _validate(model: type[ModelT], value: Any, prefix: str) -> ModelT:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _request_error(error, prefix, model) from None


def _request_error(error: ValidationError, prefix: str, model: type[BaseModel]) -> RequestError:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    unknown = [_path(prefix, p["loc"], named=True) for p in problems if p["type"] == "extra_forbidden"]
    if unknown:
        names = ", ".join(unknown[:10])
        inside = CallbackSpec if unknown[0].startswith("callback.") else model
        owner = "callback" if inside is CallbackSpec else prefix.rstrip(".") or "a request"
        available = ", ".join(inside.model_fields)
        return UnknownField(
            f"unknown field{'s' if len(unknown) > 1 else ''}: {names}; available in {owner}: {available}",
            field=unknown[0],
        )
    missing = [_path(prefix, p["loc"]) for p in problems if p["type"] == "missing"]
    if missing:
        return MissingField(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing", field=missing[0])
    path = _path(prefix, problems[0]["loc"])
    # A union reports an error for each member. Prefer one that is not about the type, and the deepest: it belongs to
    # the member that the producer meant.
    about = [p for p in problems if f"{_path(prefix, p['loc'])}.".startswith(f"{path}.")]
    first = max(about, key=lambda p: (not p["type"].endswith("_type"), len(p["loc"])))
    path = _path(prefix, first["loc"])
    return InvalidField(f"{path}: {first['msg'].removeprefix('Value error, ')}", field=path)


def _path(prefix: str, location: tuple[int | str, ...], *, named: bool = False) -> str:
    """Return the field's path. ``named``: keep the last part even if it looks like the name of a union's member."""
    # Pydantic appends the name of a union's member, which is not part of the field's path.
    if not named and len(location) > 1 and location[-1] in _MEMBERS:
        location = location[:-1]
    parts = [str(part) for part in location if not (isinstance(part, str) and "[" in part)]
    return (prefix + ".".join(parts))[:200]
