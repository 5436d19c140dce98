"""The envelope of a request: the fields that every job type has in common."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializeAsAny,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from schemas.input_model import NOT_TEXT, InputModel
from schemas.reference import PUBLISHED_BUCKET, check_bucket
from schemas.trace_context import MAX_TRACESTATE_CHARACTERS, TRACEPARENT

MAX_METADATA_BYTES = 4096
MAX_DEADLINE_SECONDS = 31_536_000

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)


def _no_dot_segment(value: str) -> str:
    if value in (".", ".."):
        raise ValueError("must not be . or .., because results are stored under it")
    return value


Event = Literal["started", "progress", "completed", "failed"]
Priority = Literal["high", "normal", "low"]
#: All priorities, the most urgent first.
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
JOB_ID_PATTERN = r"^[A-Za-z0-9._:-]+$"
JobId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern=JOB_ID_PATTERN,
        json_schema_extra={"pattern": r"^(?!\.{1,2}$)[A-Za-z0-9._:-]+$"},
    ),
    AfterValidator(_no_dot_segment),
]

TenantName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]


def normalize_output(value: str) -> str:
    """Return ``value`` as ``s3://bucket/prefix/`` with exactly one slash at the end.

    Raises:
        ValueError: it does not name a bucket, or the prefix has an empty, ``.`` or ``..`` segment.
    """
    scheme, separator, rest = value.partition("://")
    bucket = rest.partition("/")[0]
    if scheme != "s3" or not separator or not bucket:
        raise ValueError("must be s3://bucket/prefix/")
    check_bucket(bucket)
    prefix = rest.partition("/")[2].strip("/")
    if any(segment in (".", "..") for segment in prefix.split("/")) or "//" in prefix:
        raise ValueError("the prefix must not have empty, . or .. segments")
    return f"s3://{bucket}/{prefix}/" if prefix else f"s3://{bucket}/"


def check_metadata_size(value: dict[str, Any] | None) -> dict[str, Any] | None:
    """Check that the metadata takes at most 4 KiB as JSON, and return it.

    Raises:
        ValueError: it is larger.
    """
    if value is not None and len(json.dumps(value, ensure_ascii=False).encode()) > MAX_METADATA_BYTES:
        raise ValueError("metadata is larger than 4 KiB")
    return value


def _time(value: Any) -> Any:
    # By default pydantic parses 30 and "30" as Unix times, so such a request would expire before it starts.
    if isinstance(value, dt.datetime):
        return value
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        try:
            return dt.datetime.fromisoformat(value.upper())
        except ValueError:
            pass
    raise ValueError("must be an RFC 3339 time with its zone, such as 2026-01-01T00:00:00Z")


def _moment(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, str | dt.datetime):
        return _time(value)
    if isinstance(value, bool | list | dict) or not 0 < value <= MAX_DEADLINE_SECONDS:
        raise ValueError(
            f"must be an RFC 3339 time with its zone, or more than 0 and at most {MAX_DEADLINE_SECONDS:,} seconds"
        )
    return float(value)


#: A time with its zone, as far as JSON Schema can express it: the validator also refuses 30 February.
_PUBLISHED_TIME = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
Time = Annotated[AwareDatetime, Field(json_schema_extra={"pattern": _PUBLISHED_TIME})]
Moment = Annotated[float, Field(gt=0, le=MAX_DEADLINE_SECONDS, strict=True, allow_inf_nan=False)] | Time

_SEGMENT = r"(?!\.{1,2}(/|$))[^/]+"
_PUBLISHED_OUTPUT = rf"^{PUBLISHED_BUCKET}(/*|/+{_SEGMENT}(/{_SEGMENT})*/*)$"
Output = Annotated[
    str, Field(max_length=1024, json_schema_extra={"pattern": _PUBLISHED_OUTPUT}), AfterValidator(normalize_output)
]


#: Fields that describe how and when a request was sent.
_TRANSPORT_FIELDS = {
    "traceparent",
    "tracestate",
    "specversion",
    "source",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
}
_GAME_EVENTS = ("completed", "failed")


def _publish_format_rules(schema: dict[str, Any]) -> None:
    """Add the rules that depend on ``format`` to the published JSON Schema."""
    schema["properties"]["url"].pop("default")
    schema["if"] = {"properties": {"format": {"const": "game"}}, "required": ["format"]}
    schema["then"] = {"properties": {"events": {"items": {"enum": [*_GAME_EVENTS]}}}}
    schema["else"] = {"required": ["url"], "properties": {"url": {"type": "string"}}}


class CallbackSpec(InputModel):
    """Where to send callbacks, and for which events."""

    model_config = ConfigDict(json_schema_extra=_publish_format_rules)

    #: Empty only in the format ``game``: callbacks then go to the URL in the settings.
    url: Annotated[str, NOT_TEXT] = Field(
        "",
        min_length=8,
        max_length=2048,
        pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s]+$",
        description="Receiver of the callbacks. Optional in format game, which defaults to the API in the settings.",
    )
    events: list[Event] = Field(default=["completed", "failed"], max_length=4)
    format: Literal["standard", "game"] = Field(
        "standard", description="standard: signed as in Standard Webhooks. game: the body of the G.A.M.E. API."
    )
    secret_name: str | None = Field(
        None, min_length=1, max_length=64, description="One of the configured signing secrets."
    )

    @classmethod
    def optional_fields(cls, data: Mapping[str, Any]) -> Mapping[str, bool]:
        """Return the fields that may be absent: ``url`` only in the format ``game``."""
        optional = super().optional_fields(data)
        return optional if data.get("format") == "game" else {n: t for n, t in optional.items() if n != "url"}

    @model_validator(mode="after")
    def _fits_its_format(self) -> Self:
        if self.format == "standard" and not self.url:
            raise ValidationError.from_exception_data(
                "CallbackSpec", [{"type": "missing", "loc": ("url",), "input": None}]
            )
        if self.format == "game" and (unsupported := [event for event in self.events if event not in _GAME_EVENTS]):
            problem = PydanticCustomError(
                "game_event", f"format game supports completed and failed, not {unsupported[0]}"
            )
            raise ValidationError.from_exception_data(
                "CallbackSpec", [{"type": problem, "loc": ("events",), "input": unsupported[0]}]
            )
        return self


def _epoch_seconds(moment: float | dt.datetime | None, received_at: float) -> float | None:
    if isinstance(moment, dt.datetime):
        return moment.timestamp()
    return None if moment is None else received_at + moment


def _invalid(field: str, message: str, value: Any) -> ValidationError:
    problem = PydanticCustomError("value_error", message)
    return ValidationError.from_exception_data("Request", [{"type": problem, "loc": (field,), "input": value}])


def _printable(value: Any) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value)[:64])


class Request(InputModel):
    """One validated request. ``data`` is an instance of its job type's model."""

    id: JobId
    type: str = Field(min_length=1, max_length=64)
    data: SerializeAsAny[BaseModel]
    output: Output | None = None
    callback: CallbackSpec | None = None
    priority: Priority = "normal"
    deadline: Annotated[Moment | None, BeforeValidator(_moment)] = Field(
        None, description="Seconds from receipt, or an RFC 3339 time with its zone."
    )
    not_before: Annotated[Moment | None, BeforeValidator(_moment)] = Field(
        None,
        description="The job does not start earlier. Seconds from receipt, or an RFC 3339 time with its zone.",
    )
    tenant: TenantName | None = None
    plan_only: bool = False
    metadata: Annotated[dict[str, Any] | None, AfterValidator(check_metadata_size)] = None
    traceparent: str | None = Field(None, pattern=TRACEPARENT)
    tracestate: str | None = Field(None, max_length=MAX_TRACESTATE_CHARACTERS)

    # CloudEvents 1.0 context attributes: recorded in the timeline, not part of the request's identity.
    specversion: Literal["1.0"] | None = None
    source: str | None = Field(None, max_length=1024)
    subject: str | None = Field(None, max_length=1024)
    time: Annotated[Time, BeforeValidator(_time)] | None = None
    datacontenttype: str | None = Field(None, max_length=128)
    dataschema: str | None = Field(None, max_length=1024)

    #: Fields that could not be read and that no job depends on; noted in the timeline.
    _ignored: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def ignored(self) -> Mapping[str, str]:
        """Fields of the message that were dropped because they cannot be read, each with its beginning as text."""
        return self._ignored

    def note_ignored(self, fields: Mapping[str, Any]) -> Self:
        """Record dropped fields, and return the request itself."""
        self._ignored.update({name: _printable(value) for name, value in fields.items()})
        return self

    def identity(self) -> dict[str, Any]:
        """Return the content that makes two requests equal: everything but how and when they were sent.

        A field that is set to its default equals a field that is left out.
        """
        return self.model_dump(mode="json", exclude=_TRANSPORT_FIELDS, exclude_defaults=True)

    def to_job_request(self) -> dict[str, Any]:
        """Return the request as JSON with all defaults filled in, so that later changes of defaults do not matter.

        Without ``not_before``, which is kept with the job: workers of an older version refuse fields that they do not
        know. With ``traceparent``, which the attempts of the job are linked to.
        """
        record = self.model_dump(mode="json", exclude={*_TRANSPORT_FIELDS, "not_before"})
        return record if self.traceparent is None else {**record, "traceparent": self.traceparent}

    def trace_context(self) -> dict[str, str]:
        """Return ``traceparent`` and ``tracestate``, as far as the producer has sent them."""
        given = {"traceparent": self.traceparent, "tracestate": self.tracestate}
        return {name: value for name, value in given.items() if value is not None}

    def deadline_at(self, received_at: float) -> float | None:
        """Return the deadline in epoch seconds, or ``None`` if there is none."""
        return _epoch_seconds(self.deadline, received_at)

    def not_before_at(self, received_at: float) -> float | None:
        """Return the earliest start in epoch seconds, or ``None`` if there is none."""
        return _epoch_seconds(self.not_before, received_at)

    CHECKED_TOGETHER: ClassVar[frozenset[str]] = frozenset(("deadline", "not_before"))

    @model_validator(mode="after")
    def _starts_before_its_deadline(self) -> Self:
        start, now = self.not_before, time.time()
        if start is None:
            return self
        if (_epoch_seconds(start, now) or 0) > now + MAX_DEADLINE_SECONDS:
            raise _invalid("not_before", "must be at most a year ahead", start)
        end = self.deadline_at(now)
        if end is not None and end <= (self.not_before_at(now) or 0):
            raise _invalid("deadline", "must be later than not_before", self.deadline)
        return self


class Cancel(InputModel):
    """``data`` of the control message ``job.cancel``."""

    id: JobId


class Cancellation(Cancel):
    """A received ``job.cancel`` message: the job to cancel, and the tenant that the message names."""

    tenant: TenantName | None = None
