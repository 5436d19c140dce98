"""Parse S3 event notifications, recognised by shape: from S3, through SNS or EventBridge, from MinIO and from Ceph.

A request has ``type`` and ``data``; a notification has neither, so the two cannot be confused.
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

#: S3 sends one record per message, MinIO a few. A message with more is refused as a whole.
MAX_RECORDS = 100

_SNS_TYPES = ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation")
_CREATED = "ObjectCreated:"
_ESCAPES = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MAX_TEXT = 1024
#: ETag of an object without content: the MD5 of nothing.
_EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"
MAX_KEY_BYTES = 1024
#: Each byte of a key takes up to three characters when it is encoded. Longer keys are refused before decoding.
_MAX_ENCODED_KEY = 4 * MAX_KEY_BYTES


@dataclass(frozen=True, slots=True)
class Upload:
    """One created object. The key is decoded; version and ETag are ``None`` if the event does not name them."""

    bucket: str
    key: str
    version: str | None = None
    etag: str | None = None
    #: Orders the events of one key: a hexadecimal number of any length.
    sequencer: str | None = None
    #: Whether the event says that the object has no content.
    empty: bool = False

    @property
    def uri(self) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Dropped:
    """A record that does not lead to a request; ``why`` is logged."""

    why: str
    #: It is a part of a pair whose other parts are missing: the pair becomes a job when they are uploaded.
    incomplete: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a notification: its parsed content, and a notification that contains only this record."""

    content: Upload | Dropped | TelecineError
    as_single_event: Mapping[str, Any]


def read_event(value: Mapping[str, Any], *, limit_bytes: int = MAX_MESSAGE_BYTES) -> Sequence[Record] | None:
    """Return the records of the notification, or ``None`` if the message is not a notification.

    Raises:
        InvalidEvent: it looks like a notification but cannot be parsed as one.
        RequestError: the notification inside an SNS message is not strict JSON, or too large.
    """
    if "type" in value or "data" in value:
        return None
    if "Message" in value and value.get("Type") in _SNS_TYPES:
        return _unwrapped(value, limit_bytes)
    return _unpacked(value)


def _unwrapped(value: Mapping[str, Any], limit_bytes: int) -> Sequence[Record]:
    message = value["Message"]
    if value["Type"] != "Notification":
        raise InvalidEvent(f"SNS sent a {value['Type']}; confirm or delete the subscription", field="Type")
    if not isinstance(message, str):
        raise InvalidEvent("Message: must be a string that contains the notification", field="Message")
    check_text(message)
    records = _unpacked(parse_object(message.encode(), limit_bytes=limit_bytes))
    if records is None:
        raise InvalidEvent(
            "Message: is not an S3 event; enable raw message delivery to send requests through SNS", field="Message"
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
        raise InvalidEvent(f"Records: {len(records):,} records, the limit is {MAX_RECORDS}", field="Records")
    return [_record({"Records": [record]}, _notified) for record in records]


def _record(event: Mapping[str, Any], read: Callable[[Mapping[str, Any]], Upload | Dropped]) -> Record:
    try:
        return Record(read(event), event)
    except TelecineError as error:
        return Record(error, event)


def _notified(event: Mapping[str, Any]) -> Upload | Dropped:
    """Parse one element of ``Records``, as S3, MinIO and Ceph write it."""
    record = _mapping(event["Records"][0], "Records[0]")
    name = _text(record, "eventName", "Records[0]")
    if not name.removeprefix("s3:").startswith(_CREATED):
        return Dropped(f"event {name[:64]}")
    source = _optional(record, "eventSource", "Records[0]") or ""
    s3 = _mapping(record.get("s3"), "s3")
    bucket, s3_object = _mapping(s3.get("bucket"), "s3.bucket"), _mapping(s3.get("object"), "s3.object")
    key = _text(s3_object, "key", "s3.object", longest=_MAX_ENCODED_KEY)
    return Upload(
        bucket=_bucket(bucket, "s3.bucket"),
        # Ceph does not encode the key: decoding would turn plus signs into spaces.
        key=_key(key if source.startswith("ceph") else _unquoted(key), "s3.object.key"),
        version=_version(_optional(s3_object, "versionId", "s3.object")),
        etag=plain_etag(_optional(s3_object, "eTag", "s3.object")),
        sequencer=_optional(s3_object, "sequencer", "s3.object"),
        empty=_is_empty(s3_object),
    )


def _bridged(value: Mapping[str, Any]) -> Upload | Dropped:
    """Parse an EventBridge event. Its key is not encoded."""
    source, kind = _text(value, "source", ""), _text(value, "detail-type", "")
    if source != "aws.s3":
        raise InvalidEvent("source: the event does not come from aws.s3", field="source")
    if kind != "Object Created":
        return Dropped(f"event {kind[:64]}")
    detail = _mapping(value["detail"], "detail")
    bucket, s3_object = _mapping(detail.get("bucket"), "detail.bucket"), _mapping(detail.get("object"), "detail.object")
    return Upload(
        bucket=_bucket(bucket, "detail.bucket"),
        key=_key(_text(s3_object, "key", "detail.object", longest=_MAX_ENCODED_KEY), "detail.object.key"),
        version=_version(_optional(s3_object, "version-id", "detail.object")),
        etag=plain_etag(_optional(s3_object, "etag", "detail.object")),
        sequencer=_optional(s3_object, "sequencer", "detail.object"),
        empty=_is_empty(s3_object),
    )


def _is_empty(s3_object: Mapping[str, Any]) -> bool:
    """Return whether the object has no bytes. MinIO leaves the size out then, and only the ETag says so."""
    size = s3_object.get("size")
    etag = next((s3_object[name] for name in ("eTag", "etag") if isinstance(s3_object.get(name), str)), None)
    return (size == 0 and not isinstance(size, bool)) or (size is None and plain_etag(etag) == _EMPTY_MD5)


def _bucket(value: Mapping[str, Any], parent: str) -> str:
    name = _text(value, "name", parent)
    try:
        check_bucket(name)
    except ValueError as error:
        raise InvalidEvent(f"{parent}.name: {error}", field=f"{parent}.name") from None
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
    """Return the version, or ``None`` for ``null``: S3 uses it in buckets without versions, for any content."""
    return None if value in ("", "null") else value


def plain_etag(value: str | None) -> str | None:
    """Return the ETag without its quotes, or ``None`` if it is empty."""
    return (value or "").strip('"') or None


def _unquoted(key: str) -> str:
    if _ESCAPES.search(key):
        raise InvalidEvent(
            "s3.object.key: has a percent sign that is not an escape; the key must be form-encoded",
            field="s3.object.key",
        )
    try:
        return unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        raise InvalidEvent("s3.object.key: is not UTF-8 after decoding", field="s3.object.key") from None


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidEvent(f"{name}: must be an object", field=name)
    return value


def _text(value: Mapping[str, Any], name: str, parent: str, *, longest: int = _MAX_TEXT) -> str:
    field = f"{parent}.{name}".lstrip(".")
    found = value.get(name)
    if not isinstance(found, str) or not found:
        raise InvalidEvent(f"{field}: must be a non-empty string", field=field)
    if len(found) > longest:
        raise InvalidEvent(f"{field}: is longer than {longest:,} characters", field=field)
    return found


def _optional(value: Mapping[str, Any], name: str, parent: str) -> str | None:
    return None if value.get(name) in (None, "") else _text(value, name, parent)
