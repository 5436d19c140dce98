"""Requests sent as CloudEvents 1.0: translate headers and attributes into the fields of a request.

In binary mode the attributes are message headers and ``data`` is the body; in structured mode one JSON object
holds both. CloudEvents attribute names cannot contain underscores, and values are strings, numbers or booleans.
Therefore ``plan_only`` is spelled ``planonly``, ``not_before`` is spelled ``notbefore``, and ``callback`` and
``metadata`` may be JSON inside a string.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from schemas.errors import InvalidEnvelope, InvalidField
from schemas.strict_json import check_text, parse_object

_PREFIXES = ("cloudevents:", "cloudevents_", "ce-", "ce_")
_CONTENT_TYPE = ("content-type", "content_type", "contenttype")
_STRUCTURED = "application/cloudevents"
#: Content types that clients send by default; they carry no information about the body.
_UNSPECIFIED = ("", "application/octet-stream", "application/data")
#: Documented extension attributes that brokers and tracers add; ignored.
_IGNORED = frozenset({"partitionkey", "sequence", "sequencetype", "sampledrate", "recordedtime"})
_SPELLINGS = {"planonly": "plan_only", "notbefore": "not_before"}
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")


def binary_attributes(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes in a message's headers as request fields; empty if it is not a binary-mode event.

    Raises:
        InvalidJson: a header value holds text or JSON that a request body may not hold.
        InvalidEnvelope: the content type is of a structured mode other than JSON.
        InvalidField: two headers contradict each other, or the declared content type is not JSON.
    """
    content_type = _content_type(headers)
    if content_type.startswith(_STRUCTURED):
        if _media_type(content_type) != f"{_STRUCTURED}+json":
            raise InvalidEnvelope(
                f"content type {content_type[:80]!r} is not supported; send each event alone as {_STRUCTURED}+json"
            )
        return {}  # headers may repeat attributes of the body; the body takes precedence
    attributes = _prefixed(headers)
    if "specversion" not in attributes:
        return {}
    if _media_type(content_type) not in _UNSPECIFIED:
        declared = attributes.setdefault("datacontenttype", content_type)
        if _media_type(str(declared)) != _media_type(content_type):
            raise InvalidField(
                f"datacontenttype: is {str(declared)[:80]!r} in the headers, but the message's content type is "
                f"{content_type[:80]!r}; they must be the same",
                field="datacontenttype",
            )
    check_content(attributes)
    return as_request(attributes)


def declares_structured_mode(headers: Mapping[str, Any]) -> bool:
    """Return whether the message's content type is that of a structured-mode event."""
    return _content_type(headers).startswith(_STRUCTURED)


def as_request(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an event with the names and values of a request's fields.

    Raises:
        InvalidJson: ``callback`` or ``metadata`` starts like a JSON object but is not valid JSON.
        InvalidField: an attribute appears in two spellings with different values.
    """
    request: dict[str, Any] = {}
    for name, value in attributes.items():
        if value is None or name in _IGNORED:
            continue
        known = _SPELLINGS.get(name, name)
        converted = _convert(known, value)
        if known in request and request[known] != converted:
            raise InvalidField(f"{known}: appears twice with different values; send it once", field=known)
        request[known] = converted
    return request


def check_content(value: Mapping[str, Any]) -> None:
    """Check that the event declares its data to be JSON in UTF-8, or declares no content type at all.

    Raises:
        InvalidField: ``datacontenttype`` is something else.
        InvalidEnvelope: the data is in ``data_base64``.
    """
    if "data_base64" in value:
        raise InvalidEnvelope("data_base64 is not supported; send `data` as a JSON object")
    content_type = value.get("datacontenttype")
    if not isinstance(content_type, str):
        return
    media_type, _, parameters = content_type.lower().partition(";")
    media_type = media_type.strip()
    charset = re.search(r'charset\s*=\s*"?([^";\s]+)', parameters)
    if not re.fullmatch(r"(application|text)/([a-z0-9.!#$&^_-]+\+)?json", media_type):
        raise InvalidField(
            f"datacontenttype: {content_type[:80]!r} is not supported; send data as application/json",
            field="datacontenttype",
        )
    if charset and charset[1] not in ("utf-8", "utf8", "us-ascii"):
        raise InvalidField(
            f"datacontenttype: charset {charset[1][:40]!r} is not supported; send UTF-8", field="datacontenttype"
        )


def _prefixed(headers: Mapping[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for raw_name, raw_value in headers.items():
        name = str(raw_name).lower()
        prefix = next((p for p in _PREFIXES if name.startswith(p)), None)
        if prefix is None:
            continue
        name = name.removeprefix(prefix)
        value = raw_value.decode("utf-8", "replace") if isinstance(raw_value, bytes) else raw_value
        for part in (name, value):
            if isinstance(part, str):
                check_text(part)  # headers follow the same rules as strings in the body
        if name in attributes and str(attributes[name]) != str(value):
            raise InvalidField(
                f"{name[:40]}: two headers have different values for it; send it once, as ce-{name[:40]} or "
                f"cloudEvents:{name[:40]}",
                field=name[:200],
            )
        attributes[name] = value
    return attributes


def _convert(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name in ("callback", "metadata") and value.startswith("{"):
        return parse_object(value.encode())
    if name == "callback":
        return {"url": value}
    if name in ("deadline", "not_before") and _SECONDS.fullmatch(value):
        return float(value)
    return value


def _content_type(headers: Mapping[str, Any]) -> str:
    for name, value in headers.items():
        if str(name).lower() in _CONTENT_TYPE and value is not None:
            return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip().lower()
    return ""


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
