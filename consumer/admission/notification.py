"""S3 events at the door: which records are uploads to store, which are dead letters, and which are ignored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from consumer.admission.message import IncomingMessage
from consumer.logs import logger
from schemas.content_encoding import declared_encoding
from schemas.errors import NoTrigger, TelecineError
from schemas.s3_events import Dropped, Record, Upload
from schemas.triggers import TriggerRules

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class S3Notification:
    """A classified notification. Each body is a notification of one record, so that it can be replayed alone."""

    #: How many records the notification has, ignored ones included.
    records: int
    uploads: tuple[bytes, ...]
    invalid: tuple[tuple[bytes, TelecineError], ...]


def classify(records: Sequence[Record], rules: TriggerRules, message: IncomingMessage) -> S3Notification:
    """Classify each record of a notification by the trigger rules alone, without a look at the object store."""
    uploads: list[bytes] = []
    invalid: list[tuple[bytes, TelecineError]] = []
    for record in records:
        unchanged = len(records) == 1 and declared_encoding(message.headers) is None
        body = message.body if unchanged else json.dumps(record.as_single_event, ensure_ascii=False).encode()
        content = record.content
        if isinstance(content, TelecineError):
            invalid.append((body, content))
        elif isinstance(content, Dropped):
            log.debug("s3_event_ignored", door=message.door, reason=content.why)
        elif not rules:
            # Not a dead letter: the bucket may be connected before the rules are written, and until then every
            # upload would make one.
            log.warning("s3_event_without_triggers", door=message.door, source=message.source, bucket=content.bucket)
        elif not rules.names_bucket(content.bucket):
            invalid.append((body, no_trigger(content)))
        elif rules.match(content.bucket, content.key) is None:
            log.debug("s3_event_ignored", door=message.door, reason="no rule covers it", uri=content.uri)
        else:
            uploads.append(body)
    return S3Notification(len(records), tuple(uploads), tuple(invalid))


def no_trigger(upload: Upload) -> NoTrigger:
    """Return the error for an upload to a bucket that no rule names."""
    return NoTrigger(f"no trigger rule names the bucket {upload.bucket}; add one, or remove the bucket's notification")
