"""S3 event notifications, recognised by their shape: from S3 itself, through SNS or EventBridge, from MinIO, from Ceph.

A plain request has ``type`` and ``data``; no event has either. So one is never taken for the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from schemas.errors import InvalidEvent, TelecineError
from schemas.reference import check_bucket
from schemas.strict_json import MAX_MESSAGE_BYTES, check_text, parse_object

#: S3 sends one record in a message, MinIO a few; more are refused as a whole.
MAX_RECORDS = 100

_SNS_TYPES = ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation")
_CREATED = "ObjectCreated:"
_ESCAPES = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MAX_TEXT = 1024
MAX_KEY_BYTES = 1024
#: Each byte of a key takes up to three characters when it is encoded. What is longer is not even decoded.
_MAX_ENCODED_KEY = 4 * MAX_KEY_BYTES


@dataclass(frozen=True, slots=True)
class Upload:
    """One object that was created. The key is literal; version and ETag are ``None`` where the event names none."""

    bucket: str
    key: str
    version: str | None = None
    etag: str | None = None
    #: Orders the events of one key; hexadecimal, of any length.
    sequencer: str | None = None

    @property
    def uri(self) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Dropped:
    """A record that asks for nothing; ``why`` is for the log."""

    why: str


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a notification: what it says, and a notification that holds it alone."""

    said: Upload | Dropped | TelecineError
    alone: Mapping[str, Any]


def read_event(value: Mapping[str, Any], *, limit_bytes: int = MAX_MESSAGE_BYTES) -> Sequence[Record] | None:
    """The records of the notification, or ``None`` if the message is none.

    Raises:
        InvalidEvent: it looks like a notification, but as a whole it cannot be read as one.
        RequestError: the notification inside an SNS message is no strict JSON, or too large.
    """
    if "type" in value or "data" in value:
        return None
    if "Message" in value and value.get("Type") in _SNS_TYPES:
        return _unwrapped(value, limit_bytes)
    return _unpacked(value)


def _unwrapped(value: Mapping[str, Any], limit_bytes: int) -> Sequence[Record]:
    message = value["Message"]
    if value["Type"] != "Notification":
        raise InvalidEvent(f"SNS sent a {value['Type']}; confirm the subscription, or delete it", field="Type")
    if not isinstance(message, str):
        raise InvalidEvent("Message: must be a string that holds the notification", field="Message")
    check_text(message)
    records = _unpacked(parse_object(message.encode(), limit_bytes=limit_bytes))
    if records is None:
        raise InvalidEvent(
            "Message: holds no S3 event; turn on raw message delivery to send requests through SNS", field="Message"
        )
    return records


def _unpacked(value: Mapping[str, Any]) -> Sequence[Record] | None:
    if "type" in value or "data" in value:
        return None
    if "detail-type" in value and "detail" in value:
        return [_record(value, _bridged)]
    if value.get("Event") == "s3:TestEvent" and "Records" not in value:
        return [Record(Dropped("test event"), value)]
    if "Records" not in value:
        return None
    records = value["Records"]
    if not isinstance(records, list) or not records:
        raise InvalidEvent("Records: must be a list with at least one record", field="Records")
    if len(records) > MAX_RECORDS:
        raise InvalidEvent(f"Records: {len(records):,} records, at most {MAX_RECORDS} are taken", field="Records")
    return [_record({"Records": [record]}, _notified) for record in records]


def _record(alone: Mapping[str, Any], read: Callable[[Mapping[str, Any]], Upload | Dropped]) -> Record:
    try:
        return Record(read(alone), alone)
    except TelecineError as error:
        return Record(error, alone)


def _notified(alone: Mapping[str, Any]) -> Upload | Dropped:
    """One element of ``Records``, as S3, MinIO and Ceph write it."""
    record = _mapping(alone["Records"][0], "Records[0]")
    name = _text(record, "eventName", "Records[0]")
    if not name.removeprefix("s3:").startswith(_CREATED):
        return Dropped(f"event {name[:64]}")
    source = _optional(record, "eventSource", "Records[0]") or ""
    s3 = _mapping(record.get("s3"), "s3")
    bucket, thing = _mapping(s3.get("bucket"), "s3.bucket"), _mapping(s3.get("object"), "s3.object")
    key = _text(thing, "key", "s3.object", longest=_MAX_ENCODED_KEY)
    return Upload(
        bucket=_bucket(bucket, "s3.bucket"),
        # Ceph sends the key as it is; unquoted, its plus signs would become spaces.
        key=_key(key if source.startswith("ceph") else _unquoted(key), "s3.object.key"),
        version=_version(_optional(thing, "versionId", "s3.object")),
        etag=plain_etag(_optional(thing, "eTag", "s3.object")),
        sequencer=_optional(thing, "sequencer", "s3.object"),
    )


def _bridged(value: Mapping[str, Any]) -> Upload | Dropped:
    """An event of EventBridge. Its key is not encoded."""
    source, kind = _text(value, "source", ""), _text(value, "detail-type", "")
    if source != "aws.s3":
        raise InvalidEvent("source: the event does not come from aws.s3", field="source")
    if kind != "Object Created":
        return Dropped(f"event {kind[:64]}")
    detail = _mapping(value["detail"], "detail")
    bucket, thing = _mapping(detail.get("bucket"), "detail.bucket"), _mapping(detail.get("object"), "detail.object")
    return Upload(
        bucket=_bucket(bucket, "detail.bucket"),
        key=_key(_text(thing, "key", "detail.object", longest=_MAX_ENCODED_KEY), "detail.object.key"),
        version=_version(_optional(thing, "version-id", "detail.object")),
        etag=plain_etag(_optional(thing, "etag", "detail.object")),
        sequencer=_optional(thing, "sequencer", "detail.object"),
    )


def _bucket(value: Mapping[str, Any], place: str) -> str:
    name = _text(value, "name", place)
    try:
        check_bucket(name)
    except ValueError as error:
        raise InvalidEvent(f"{place}.name: {error}", field=f"{place}.name") from None
    return name


def _key(key: str, field: str) -> str:
    try:
        check_text(key)
    except TelecineError as error:
        raise InvalidEvent(f"{field}: {error.message}", field=field) from None
    if len(key.encode()) > MAX_KEY_BYTES:
        raise InvalidEvent(f"{field}: is longer than {MAX_KEY_BYTES:,} bytes", field=field)
    return key


def _version(value: str | None) -> str | None:
    """The version. ``null`` is what S3 calls that of a bucket without versions: it says nothing about the content."""
    return None if value in ("", "null") else value


def plain_etag(value: str | None) -> str | None:
    """The ETag without its quotes; ``None`` for an empty one."""
    return (value or "").strip('"') or None


def _unquoted(key: str) -> str:
    if _ESCAPES.search(key):
        raise InvalidEvent(
            "s3.object.key: a percent sign that begins no escape; the key is form-encoded", field="s3.object.key"
        )
    try:
        return unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        raise InvalidEvent("s3.object.key: is not UTF-8 when it is decoded", field="s3.object.key") from None


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidEvent(f"{name}: must be an object", field=name)
    return value


def _text(value: Mapping[str, Any], name: str, place: str, *, longest: int = _MAX_TEXT) -> str:
    field = f"{place}.{name}".lstrip(".")
    found = value.get(name)
    if not isinstance(found, str) or not found:
        raise InvalidEvent(f"{field}: must be a string, and not empty", field=field)
    if len(found) > longest:
        raise InvalidEvent(f"{field}: is longer than {longest:,} characters", field=field)
    return found


def _optional(value: Mapping[str, Any], name: str, place: str) -> str | None:
    return None if value.get(name) in (None, "") else _text(value, name, place)
