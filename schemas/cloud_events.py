"""CloudEvents 1.0 as carriers of requests: what their headers and attributes mean here.

Binary mode puts the attributes into headers and ``data`` into the body; structured mode puts both into
one JSON object. Attribute names have no underscores and their values are texts, numbers or booleans; so
``plan_only`` is spelled ``planonly`` there, and ``callback`` and ``metadata`` may be JSON in a text.
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
#: What clients send that were told nothing about the content.
_UNSAID = ("", "application/octet-stream", "application/data")
#: Documented extensions that say nothing about the job, set by brokers and tracers on the way.
_IN_PASSING = frozenset({"tracestate", "partitionkey", "sequence", "sequencetype", "sampledrate", "recordedtime"})
_SPELLINGS = {"planonly": "plan_only"}
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")


def binary_attributes(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes in the headers of a message, under the names of a request; empty if it is no binary event.

    Raises:
        InvalidJson, InvalidEnvelope, InvalidField: two headers contradict each other, a value cannot be read,
            or the content is not said to be JSON.
    """
    content_type = _content_type(headers)
    if content_type.startswith(_STRUCTURED):
        if _media_type(content_type) != f"{_STRUCTURED}+json":
            raise InvalidEnvelope(
                f"content type {content_type[:80]!r} cannot be read; send each event by itself as {_STRUCTURED}+json"
            )
        return {}  # headers may repeat what the body says; the body counts
    attributes = _prefixed(headers)
    if "specversion" not in attributes:
        return {}
    if _media_type(content_type) not in _UNSAID:
        said = attributes.setdefault("datacontenttype", content_type)
        if _media_type(str(said)) != _media_type(content_type):
            raise InvalidField(
                f"datacontenttype: the headers say {str(said)[:80]!r} and the message's content type is "
                f"{content_type[:80]!r}; they have to agree",
                field="datacontenttype",
            )
    check_content(attributes)
    return as_request(attributes)


def is_said_to_be_structured(headers: Mapping[str, Any]) -> bool:
    """Whether the message's content type is that of a structured event."""
    return _content_type(headers).startswith(_STRUCTURED)


def as_request(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of an event under the names, and with the values, that a request has.

    Raises:
        InvalidJson: a text that has to be JSON is not.
        InvalidField: an attribute is there in two spellings that differ.
    """
    request: dict[str, Any] = {}
    for name, value in attributes.items():
        if value is None or name in _IN_PASSING:
            continue
        known = _SPELLINGS.get(name, name)
        meant = _meant(known, value)
        if known in request and request[known] != meant:
            raise InvalidField(f"{known}: is there twice, with different values; send it once", field=known)
        request[known] = meant
    return request


def check_content(value: Mapping[str, Any]) -> None:
    """Returns if the event's data are JSON in UTF-8, as far as it says.

    Raises:
        InvalidField: ``datacontenttype`` is something else.
        InvalidEnvelope: the data are in ``data_base64``.
    """
    if "data_base64" in value:
        raise InvalidEnvelope("data_base64 cannot be read; send `data` as a JSON object")
    content_type = value.get("datacontenttype")
    if not isinstance(content_type, str):
        return
    media_type, _, parameters = content_type.lower().partition(";")
    media_type = media_type.strip()
    charset = re.search(r'charset\s*=\s*"?([^";\s]+)', parameters)
    if not re.fullmatch(r"(application|text)/([a-z0-9.!#$&^_-]+\+)?json", media_type):
        raise InvalidField(
            f"datacontenttype: is {content_type[:80]!r}; send data as application/json", field="datacontenttype"
        )
    if charset and charset[1] not in ("utf-8", "utf8", "us-ascii"):
        raise InvalidField(f"datacontenttype: charset {charset[1][:40]!r}; send UTF-8", field="datacontenttype")


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
                check_text(part)  # what a body may not hold, a header may not smuggle in
        if name in attributes and str(attributes[name]) != str(value):
            raise InvalidField(
                f"{name[:40]}: two headers give it different values; send it once, as ce-{name[:40]} or "
                f"cloudEvents:{name[:40]}",
                field=name[:200],
            )
        attributes[name] = value
    return attributes


def _meant(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name in ("callback", "metadata") and value.startswith("{"):
        return parse_object(value.encode())
    if name == "callback":
        return {"url": value}
    if name == "deadline" and _SECONDS.fullmatch(value):
        return float(value)
    return value


def _content_type(headers: Mapping[str, Any]) -> str:
    for name, value in headers.items():
        if str(name).lower() in _CONTENT_TYPE and value is not None:
            return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip().lower()
    return ""


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
