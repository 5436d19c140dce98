"""Parse the bytes of a message into a request, or raise an error that names the invalid field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from schemas.cloud_events import as_request, binary_attributes, check_content, declares_structured_mode
from schemas.content_encoding import decoded
from schemas.envelope import CallbackSpec, Cancel, Cancellation, Request
from schemas.errors import (
    InvalidEnvelope,
    InvalidField,
    InvalidJson,
    MissingField,
    RequestError,
    UnknownType,
)
from schemas.field_problems import FieldProblem, locations_of, problems_of, refusal
from schemas.job_types import JOB_TYPES
from schemas.nearest import did_you_mean
from schemas.strict_json import MAX_MESSAGE_BYTES, parse_object
from schemas.trace_context import drop_unreadable_trace, trace_headers

CANCEL = "job.cancel"
#: Header that replaces the headers of a message whose AMQP properties cannot be decoded; its value names the fault.
UNREADABLE = "telecine-unreadable-properties"
#: The body that the SQS Extended Client Library sends: in Java since version 1 or 2, in Python and in Go.
_S3_POINTER = re.compile(
    rb'(?:\xef\xbb\xbf)?\s*\[\s*"(software\.amazon\.payloadoffloading\.PayloadS3Pointer|com\.amazon\.sqs\.javamessaging\.MessageS3Pointer)"'
)
ModelT = TypeVar("ModelT", bound=BaseModel)
#: In place of ``data`` that is invalid, to validate the fields around it.
_NO_DATA = Cancel(id="-")


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
    value = _read_mapping(body, headers, limit_bytes)
    # The libraries that trace a producer put its context into the headers.
    return value if "traceparent" in value else {**value, **trace_headers(headers)}


def _read_mapping(body: bytes, headers: Mapping[str, Any], limit_bytes: int) -> dict[str, Any]:
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
        RequestError: a subclass that says what is wrong, as in ``parse_request``. It names all invalid fields; code
            and ``field`` are those of the first.
    """
    if value.get("type") is None and not {"id", "data"} & set(value):
        raise InvalidEnvelope("the message is a JSON object but not a request: it has no id, type or data")
    if value.get("type") == CANCEL:
        return _cancellation(value)
    problems: list[FieldProblem] = []
    data: BaseModel | None = None
    try:
        data = _parse_data(value)
    except (RequestError, _InvalidPart) as error:
        problems += _problems_in(error)
    try:
        request = _parse_envelope(value, data)
    except (RequestError, _InvalidPart) as error:
        problems += _problems_in(error)
    if problems:
        raise refusal(problems)
    return request


class _InvalidPart(Exception):
    """A part of a request is invalid."""

    def __init__(self, problems: list[FieldProblem]) -> None:
        super().__init__()
        self.problems = problems


def _problems_in(error: RequestError | _InvalidPart) -> list[FieldProblem]:
    return error.problems if isinstance(error, _InvalidPart) else [FieldProblem.of(error)]


def _cancellation(value: Mapping[str, Any]) -> Cancellation:
    problems: list[FieldProblem] = []
    job_id = "-"
    try:
        job_id = _validate(Cancel, _data_of(value), "data.").id
    except (RequestError, _InvalidPart) as error:
        problems += _problems_in(error)
    try:
        cancellation = _validate(Cancellation, {"id": job_id, "tenant": value.get("tenant")}, "")
    except _InvalidPart as error:
        problems += error.problems
    if problems:
        raise refusal(problems)
    return cancellation


def _data_of(value: Mapping[str, Any]) -> dict[str, Any]:
    check_content(value)
    data = value.get("data")
    if data is None:
        raise MissingField("data is missing", field="data")
    if not isinstance(data, dict):
        raise InvalidField("data must be an object", field="data")
    return data


def _parse_data(value: Mapping[str, Any]) -> BaseModel:
    kind = value.get("type")
    if kind is None:
        raise MissingField("type is missing", field="type")
    if not isinstance(kind, str):
        raise InvalidField("type must be a string", field="type")
    data = _data_of(value)
    model = JOB_TYPES.get(kind)
    if model is None:
        nearest = did_you_mean(kind, JOB_TYPES.keys())
        raise UnknownType(
            f"unknown type {kind[:64]!r}{nearest}; available: {', '.join(sorted(JOB_TYPES))}", field="type"
        )
    return _validate(model, data, "data.")


def _parse_envelope(value: Mapping[str, Any], data: BaseModel | None) -> Request:
    """Validate the fields around ``data``, which is ``None`` if it or the type is invalid."""
    if (value.get("specversion") in (None, "")) != (value.get("source") is None):
        raise InvalidEnvelope("a CloudEvent needs both specversion and source; a plain request has neither")
    envelope = {**value, "data": data}
    if data is None:
        envelope |= {"type": "-", "data": _NO_DATA}
    traced = "traceparent" in value or "tracestate" in value
    ignored = drop_unreadable_trace(envelope) if traced else None
    request = _validate(Request, envelope, "", value.get("type"))
    return request.note_ignored(ignored) if ignored else request


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


def _validate(model: type[ModelT], value: Any, prefix: str, kind: object = None) -> ModelT:
    """Validate a part of a request. ``kind`` is the type of the request."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        # An unknown field may belong into the other part.
        data = JOB_TYPES.get(kind) if isinstance(kind, str) else None
        names = Request.model_fields if prefix else () if data is None else data.model_fields
        elsewhere = {name: name if prefix else f"data.{name}" for name in names}
        problems = problems_of(error, prefix, model, elsewhere)
        raise _InvalidPart([*problems, *_found_together(error, model, value, prefix)]) from None


def _found_together(error: ValidationError, model: type[BaseModel], value: Any, prefix: str) -> list[FieldProblem]:
    """Return what the model's checks of several fields find, if only other fields are invalid by themselves."""
    invalid = {str(location[0]) for location in locations_of(error)}
    together: frozenset[str] = getattr(model, "CHECKED_TOGETHER", frozenset())
    if not together or invalid & together:
        return []
    try:
        model.model_validate({name: item for name, item in value.items() if name not in invalid})
    except RequestError as found:
        return [FieldProblem.of(found)]
    except ValidationError as again:
        # Without the invalid fields others are missing, or the checks found a problem.
        return [p for p in problems_of(again, prefix, model, {}) if p.path.removeprefix(prefix) in together]
    return []
