"""What a door does with an S3 event: which records are uploads to be kept, which are refused, which forgotten."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from consumer.admission.message import IncomingMessage
from consumer.logs import logger
from schemas.errors import NoTrigger, TelecineError
from schemas.s3_events import Dropped, Record, Upload
from schemas.triggers import TriggerRules

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class S3Notification:
    """A notification, sorted. Every body is a notification of one record, so that it can be replayed."""

    records: int
    kept: tuple[bytes, ...]
    refused: tuple[tuple[bytes, TelecineError], ...]


def classify(records: Sequence[Record], rules: TriggerRules, arrival: IncomingMessage) -> S3Notification:
    """The notification's records, each judged for itself. Asks nobody but the rules."""
    kept: list[bytes] = []
    refused: list[tuple[bytes, TelecineError]] = []
    for record in records:
        body = arrival.body if len(records) == 1 else json.dumps(record.as_single_event, ensure_ascii=False).encode()
        said = record.content
        if isinstance(said, TelecineError):
            refused.append((body, said))
        elif isinstance(said, Dropped):
            log.debug("s3_event_dropped", door=arrival.door, why=said.why)
        elif not rules:
            # Not refused: whoever connected the bucket may write the rules tomorrow, and until then each
            # upload would make a dead letter.
            log.warning("s3_event_without_triggers", door=arrival.door, source=arrival.source, bucket=said.bucket)
        elif not rules.names_bucket(said.bucket):
            refused.append((body, no_trigger(said)))
        elif rules.match(said.bucket, said.key) is None:
            log.debug("s3_event_dropped", door=arrival.door, why="no rule covers it", uri=said.uri)
        else:
            kept.append(body)
    return S3Notification(len(records), tuple(kept), tuple(refused))


def no_trigger(upload: Upload) -> NoTrigger:
    """The refusal of an upload to a bucket that no rule is about."""
    return NoTrigger(f"no trigger rule names the bucket {upload.bucket}; add one, or end the bucket's notification")
